"""``manage.py migrate``: one process at a time, and without a deadlock with a running hub."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.management import CommandError
from django.core.management.commands import migrate
from django.db import Error, connections
from django.db.migrations.executor import MigrationExecutor

from registry import locks
from registry.database import guards, table_locks

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.migrations import Migration
    from django.db.migrations.state import ProjectState

#: Key of the advisory lock in PostgreSQL.
_LOCK = 0x6D696772617465
#: Seconds to wait for another process, and between two attempts.
WAIT_S, PAUSE_S = 3600.0, 0.5


class _Executor(MigrationExecutor):
    """Repeats a migration that another process keeps from its locks (``table_locks``)."""

    def __init__(self, *args: Any, say: Callable[[str], object]) -> None:
        super().__init__(*args)
        self._say = say

    def apply_migration(
        self, state: ProjectState, migration: Migration, *args: Any, **options: Any
    ) -> ProjectState:
        """Apply it in one transaction, except those that say ``atomic = False``."""
        applied = super().apply_migration
        # A migration changes the state in place, so each try gets a copy.
        return table_locks.retried(
            self.connection,
            lambda: applied(state.clone(), migration, *args, **options),
            name=str(migration),
            say=self._say,
        )

    def unapply_migration(
        self, state: ProjectState, migration: Migration, *args: Any, **options: Any
    ) -> ProjectState:
        """Unapply it in one transaction, with the same exception."""
        unapplied = super().unapply_migration
        return table_locks.retried(
            self.connection,
            lambda: unapplied(state, migration, *args, **options),
            name=str(migration),
            say=self._say,
        )

    def record_migration(self, *args: Any) -> None:
        """Record it without a limit: if Django does so after the commit, no try may follow."""
        with table_locks.long_waits(self.connection):
            super().record_migration(*args)


@contextmanager
def _executor(say: Callable[[str], object]) -> Iterator[None]:
    """Have Django's command, which has no hook for it, use the executor above."""
    module: Any = migrate
    before = module.MigrationExecutor
    module.MigrationExecutor = partial(_Executor, say=say)
    try:
        yield
    finally:
        module.MigrationExecutor = before


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM raise SystemExit, so that the block can clean up; a second one is ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread handles signals
        return

    def terminate(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _put_back(connection: BaseDatabaseWrapper, defined: dict[str, str]) -> list[str]:
    """Create triggers again that are missing, and return those that cannot be created."""
    if not defined:
        return []
    try:
        with table_locks.short_waits(connection):
            return guards.put_back(connection, defined)
    except Error:  # the connection is lost
        return list(defined)


class Command(migrate.Command):
    """Waits for another process that migrates, and retries what another process blocks."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate alone."""
        alias = options["database"]
        guarded = self._guarded(connections[alias])
        with _terminable(), self._alone(alias), guarded, _executor(self._say):
            super().handle(*args, **options)

    def _say(self, message: str) -> None:
        if self.verbosity:
            self.stdout.write("")  # ends the line “Applying …”
        self.stderr.write(message)

    @contextmanager
    def _guarded(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Put the triggers back after any error or signal: a hub that runs needs them."""
        defined = guards.definitions(connection) if connection.vendor == "postgresql" else {}
        try:
            yield
        except BaseException as error:
            lacking = _put_back(connection, defined)
            missing = f"Until then these triggers are missing: {', '.join(lacking)}."
            if isinstance(error, table_locks.LocksUnavailable):
                message = f"{error} {missing}" if lacking else str(error)
                raise CommandError(message) from error
            if lacking:
                self._say(f"Run `manage.py migrate` again. {missing}")
            raise

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
                    message = (
                        f"Another process is still migrating this database after {WAIT_S / 60:.0f} "
                        "min. Wait until it has ended, then run the command again."
                    )
                    raise CommandError(message)
                if not is_told:
                    self.stderr.write("Another process is migrating this database; waiting for it.")
                is_told = True
                time.sleep(PAUSE_S)
        try:
            yield
        finally:
            # A lost connection has no lock; its error must not replace the one that ends this.
            with suppress(Error), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])

    @staticmethod
    def _has_locked(cursor: Any) -> bool:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])
