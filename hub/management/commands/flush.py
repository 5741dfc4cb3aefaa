"""``manage.py flush``: deletes all rows, including protected ones."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from django.core.management.commands import flush
from django.db import connections

from registry.database import guards


class Command(flush.Command):
    def handle(self, **options: Any) -> None:
        """Empty every table."""
        connection = connections[options["database"]]
        with ExitStack() as stack:
            if connection.vendor == "sqlite":
                stack.enter_context(guards.lifted(connection))
            super().handle(**options)
