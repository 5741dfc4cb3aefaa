"""``manage.py createsuperuser``: Django's command, for accounts that can also publish."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction

from registry import events
from registry.accounts import users
from registry.models import User


class Command(createsuperuser.Command):
    def _validate_username(self, username: str, *args: Any) -> str | None:
        """Return why an account can't have a name; Django's command asks again or ends."""
        fault: str | None = super()._validate_username(username, *args)  # type: ignore[misc]  # not in the stubs
        return fault or " ".join(users.name_faults(username)) or None

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Run Django's command, give the account its namespace, and record who was created."""
        last = User.objects.order_by("pk").values_list("pk", flat=True).last() or 0
        result = super().handle(*args, **options)
        for user in User.objects.filter(pk__gt=last, is_superuser=True, namespace=None):
            try:
                with transaction.atomic():
                    users.give_namespace(user)
                    events.record(actor=None, verb="staff_added", about=user)
            except IntegrityError as error:
                user.delete()
                message = f"{user.username!r} has just been taken. Run the command again."
                raise CommandError(message) from error
        return result
