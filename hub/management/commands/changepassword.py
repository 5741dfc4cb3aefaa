"""``manage.py changepassword``: Django's command, with case-insensitive names."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.core.management.base import CommandError

from hub.plurals import counted
from registry import events
from registry.models import User
from registry.tokens import selectors as token_selectors


class Command(changepassword.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        """Replace the name by its stored spelling, and run Django's command."""
        rows = User.objects.using(options["database"]).filter(username__iexact=options["username"])
        options["username"] = rows.values_list("username", flat=True).first() or options["username"]
        try:
            result = super().handle(*args, **options)
        except EOFError as error:
            message = "The password is missing. Run the command in a terminal: it asks twice."
            raise CommandError(message) from error
        name = options["username"] or getpass.getuser()
        user = rows.model.objects.get(username=name)
        events.record(actor=None, verb="password_changed", about=user)
        if count := token_selectors.count_live(user):
            self.stdout.write(
                f"{counted(count, 'access token')} of {name} can still be used. "
                f"`manage.py token --user {name} --revoke-all` revokes all."
            )
        return result
