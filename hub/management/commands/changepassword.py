"""``manage.py changepassword``: Django's, for names in any case."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import changepassword

from registry.models import User

__all__ = ["Command"]


class Command(changepassword.Command):
    """Ask for a new password of somebody, whose name matches without regard to case."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Put the name as its owner wrote it, and go on as Django does."""
        rows = User.objects.using(options["database"]).filter(username__iexact=options["username"])
        options["username"] = rows.values_list("username", flat=True).first() or options["username"]
        return super().handle(*args, **options)
