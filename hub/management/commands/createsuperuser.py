"""``manage.py createsuperuser``: Django's command, which records the new administrator."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from registry import events
from registry.models import User


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        """Run Django's command, and record whom it created."""
        last = User.objects.order_by("pk").values_list("pk", flat=True).last() or 0
        result = super().handle(*args, **options)
        for user in User.objects.filter(pk__gt=last, is_superuser=True):
            events.record(actor=None, verb="staff_added", about=user)
        return result
