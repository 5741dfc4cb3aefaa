"""``manage.py migrate``: one process at a time, also if several machines start at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import CommandError
from django.core.management.commands import migrate
from django.db import connections

from registry import locks

#: Key of the advisory lock in PostgreSQL.
_LOCK = 0x6D696772617465
#: Seconds to wait for another process, and between two attempts.
WAIT_S, PAUSE_S = 3600.0, 0.5


class Command(migrate.Command):
    """Waits for another process that migrates, then applies what is left."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate alone."""
        with self._alone(options["database"]):
            super().handle(*args, **options)

    @contextmanager
    def _alone(self, alias: str) -> Iterator[None]:
        """Lock the database, or for SQLite the data directory; the end of a process unlocks it."""
        connection = connections[alias]
        if connection.vendor != "postgresql":
            with locks.holding("migrate", wait_s=WAIT_S):
                yield
            return
        if connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
            message = (
                "LORARY_DATABASE_URL names pgbouncer. Run this command with the address of "
                "PostgreSQL itself, without pgbouncer=true."
            )
            raise CommandError(message)
        until, is_told = time.monotonic() + WAIT_S, False
        with connection.cursor() as cursor:
            while not self._has_locked(cursor):
                if time.monotonic() > until:
                    message = f"Another process migrates this database since {WAIT_S / 60:.0f} min."
                    raise CommandError(message)
                if not is_told:
                    self.stderr.write("Another process is migrating this database; waiting for it.")
                is_told = True
                time.sleep(PAUSE_S)
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])

    @staticmethod
    def _has_locked(cursor: Any) -> bool:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])
