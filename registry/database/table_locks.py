"""Locks of PostgreSQL's tables that a migration waits for beside a running hub.

``search rebuild`` waits in the same way for the table of the full-text index.

A migration that changes several tables locks one after the other. A request that reads a table the
migration still needs, and then one that it has locked, waits for the migration, which waits for the
request. PostgreSQL ends such a deadlock by an error in one of the two, often in the request. So a
migration waits ``TIMEOUT_MS`` for a lock, which is less than PostgreSQL's ``deadlock_timeout`` (1 s
by default), gives up all its locks and tries again later. Requests wait meanwhile, and go on.

A request can still be the one that fails if it has waited for 0.8 s when the migration begins to
wait for it. If the role may set ``deadlock_timeout``, as superusers may, the migration looks for
deadlocks after 10 ms, and this time shrinks to the last 10 ms.

PostgreSQL ends an autovacuum that is in the way, too, but only after ``deadlock_timeout``. A role
that may not set it therefore waits longer in every fifth try and in the last one.

Source: PostgreSQL's manual, "Lock Management" and "Explicit Locking".
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

#: How long a statement waits for a lock, and after how long PostgreSQL looks for a deadlock.
TIMEOUT_MS, DEADLOCK_CHECK_MS = 200, 10
#: Each such try waits this much longer than ``deadlock_timeout``, if the role cannot set that.
LONG_EVERY, LONGER_MS = 5, 500
#: Pauses between the tries, in seconds: four minutes together.
PAUSES_S = (0.5, 1, 2, 4, 8, *[15] * 15)
#: PostgreSQL's codes of a lock that was not available, and of a deadlock.
_UNAVAILABLE = {"55P03", "40P01"}
#: Transactions that an error names.
_NAMED = 3

T = TypeVar("T")

# A role without pg_read_all_stats does not see when transactions of other roles began. These come
# first: they may be the oldest ones.
_HOLDERS = f"""
    SELECT a.pid,
        coalesce(nullif(a.application_name, ''), a.usename, a.backend_type, 'unknown program'),
        coalesce(host(a.client_addr), ''), coalesce(a.state, ''),
        extract(epoch FROM statement_timestamp() - a.xact_start)::int,
        string_agg(DISTINCT c.relname, ', ' ORDER BY c.relname)
    FROM pg_locks AS l
    JOIN pg_class AS c ON c.oid = l.relation
    JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.granted AND a.datname = current_database()
        AND l.pid <> pg_backend_pid() AND c.relkind = 'r' AND pg_table_is_visible(c.oid)
        AND c.relname NOT LIKE 'pg\\_%'
    GROUP BY a.pid, 2, 3, 4, 5, a.xact_start ORDER BY a.xact_start NULLS FIRST LIMIT {_NAMED}
"""  # noqa: S608 - a number of this module


class LocksUnavailable(Exception):
    """No try got its locks; the message says who holds them."""


def retried(
    connection: BaseDatabaseWrapper,
    attempt: Callable[[], T],
    *,
    name: str,
    say: Callable[[str], object] | None = None,
) -> T:
    """Return what an attempt returns, which is repeated as long as another process has its locks.

    Databases other than PostgreSQL get one attempt.

    Args:
        attempt: It can be repeated after an error: it is one transaction, or does no harm twice.
        name: What is attempted, for messages.
        say: Gets a line for each attempt that failed; by default it is written to stderr.

    Raises:
        LocksUnavailable: The last attempt failed, too.
    """
    if connection.vendor != "postgresql":
        return attempt()
    say = say or _to_stderr
    started = time.monotonic()
    for number, pause_s in enumerate(PAUSES_S, 1):
        try:
            return _attempt(connection, attempt, ends_vacuum=number % LONG_EVERY == 0)
        except OperationalError as error:
            if not _is_unavailable(error):
                raise
        say(
            f"{name}: another process is using a table that must be locked. All locks were "
            f"released; try {number + 1} of {len(PAUSES_S) + 1} in {pause_s:g} s."
        )
        time.sleep(pause_s)
    try:
        return _attempt(connection, attempt, ends_vacuum=True)
    except OperationalError as error:
        if not _is_unavailable(error):
            raise
        message = (
            f"{name} got no lock in {len(PAUSES_S) + 1} tries and {time.monotonic() - started:.0f} "
            f"s, and was not applied. {_held_by(connection)} Run the command again when no other "
            "transaction uses these tables, or stop the hub first."
        )
        raise LocksUnavailable(message) from error


def _to_stderr(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def _attempt(connection: BaseDatabaseWrapper, attempt: Callable[[], T], *, ends_vacuum: bool) -> T:
    depth = len(connection.atomic_blocks)
    with short_waits(connection, ends_vacuum=ends_vacuum):
        try:
            return attempt()
        except BaseException as error:
            # Django leaves a migration's transaction open if one of the statements fails that it
            # collects until the end of the migration, such as those for foreign keys.
            while len(connection.atomic_blocks) > depth:
                connection.atomic_blocks[-1].__exit__(type(error), error, error.__traceback__)
            raise


def _is_unavailable(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) in _UNAVAILABLE


@contextmanager
def short_waits(connection: BaseDatabaseWrapper, *, ends_vacuum: bool = False) -> Iterator[None]:
    """Have the statements of a block fail on PostgreSQL that wait long for a lock.

    Args:
        ends_vacuum: Wait until PostgreSQL has ended an autovacuum that is in the way.
    """
    timeout_ms, check_before = TIMEOUT_MS, ""
    if _may_check_soon(connection):
        check_before = _set(connection, "deadlock_timeout", f"{DEADLOCK_CHECK_MS}ms")
    elif ends_vacuum:
        timeout_ms = _deadlock_timeout_ms(connection) + LONGER_MS
    before = _set(connection, "lock_timeout", f"{timeout_ms}ms")
    try:
        yield
    finally:
        if connection.connection is not None and not connection.connection.closed:
            _set(connection, "lock_timeout", before)
            if check_before:
                _set(connection, "deadlock_timeout", check_before)


@contextmanager
def long_waits(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Let the statements of a block wait for their locks, also inside of an attempt.

    After an error, the end of the attempt restores the limit: this transaction may be aborted.
    """
    if connection.vendor != "postgresql":
        yield
        return
    before = _set(connection, "lock_timeout", "0")
    yield
    _set(connection, "lock_timeout", before)


def _may_check_soon(connection: BaseDatabaseWrapper) -> bool:
    """Whether the role may set the parameter; an attempt would log an error in the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int >= 150000")
        has_grants = cursor.fetchone()[0]
        if has_grants:
            cursor.execute("SELECT has_parameter_privilege('deadlock_timeout', 'SET')")
        else:
            cursor.execute("SELECT current_setting('is_superuser') = 'on'")
        return bool(cursor.fetchone()[0])


def _deadlock_timeout_ms(connection: BaseDatabaseWrapper) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout'")
        return int(cursor.fetchone()[0])  # in its base unit, milliseconds


def _set(connection: BaseDatabaseWrapper, name: str, value: str) -> str:
    """Set a parameter of the session and return what it was."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [name])
        before = str(cursor.fetchone()[0])
        cursor.execute("SELECT set_config(%s, %s, false)", [name, value])
    return before


def _held_by(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        cursor.execute(_HOLDERS)
        rows = cursor.fetchall()
    if not rows:
        return "No other transaction is open now."
    told = []
    for pid, program, host, state, age_s, tables in rows:
        described = " ".join(filter(None, [program, host and f"from {host}", state]))
        since = "since unknown" if age_s is None else f"for {age_s} s"
        told.append(f"process {pid} ({described}, {since}) has locked {tables}")
    return f"Oldest open transactions: {'; '.join(told)}."
