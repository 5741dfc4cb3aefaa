"""``manage.py changepassword``: Django's, for names in any case."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword

from registry.models import User


class Command(changepassword.Command):
    """Ask for a new password of somebody, whose name matches without regard to case."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Put the name as its owner wrote it, and go on as Django does."""
        rows = User.objects.using(options["database"]).filter(username__iexact=options["username"])
        options["username"] = rows.values_list("username", flat=True).first() or options["username"]
        said = super().handle(*args, **options)
        name = options["username"] or getpass.getuser()
        self.stdout.write(
            f"Access tokens of {name} still work. `manage.py token --user {name} --revoke-all` "
            "revokes them."
        )
        return said
