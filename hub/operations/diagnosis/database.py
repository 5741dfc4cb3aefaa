"""The database, its replica and its triggers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections
from django.db.migrations.executor import MigrationExecutor

from hub import replica
from hub.operations import migration_rules
from hub.operations.diagnosis.report import MIGRATE, Report
from hub.plurals import counted, size_text
from registry.database import guards

if TYPE_CHECKING:
    from collections.abc import Iterator


def _database() -> Iterator[Report]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        message = f"{counted(len(plan), 'migration')} not yet applied."
        yield Report("database", "error", message, MIGRATE)
    elif newer := migration_rules.newer_in_database(executor):
        hint = (
            "Expected after going back (docs/operations/deployment.md, “Go back”), and between "
            "`migrate` and the switch of an update."
        )
        yield Report("database", "warning", migration_rules.newer_text(newer), hint)
    else:
        yield Report("database", "ok", f"{connection.display_name} responds and is up to date.")


def _replica() -> Iterator[Report]:
    """Report whether lists can be read from the replica, if there is one."""
    if replica.ALIAS not in connections:
        return
    cluster, written = replica.position(DEFAULT_DB_ALIAS, replica.WRITTEN)
    until = time.monotonic() + replica.MAX_LAG_S
    try:
        other, replayed = replica.position(replica.ALIAS, replica.REPLAYED)
        while other == cluster and 0 <= replayed < written and time.monotonic() < until:
            time.sleep(0.2)
            other, replayed = replica.position(replica.ALIAS, replica.REPLAYED)
        with connections[replica.ALIAS].cursor() as cursor:
            cursor.execute(_CONNECTIONS)
            used, most = cursor.fetchone()
    except DatabaseError as error:
        hint = "Check LORARY_DATABASE_REPLICA_URL. Until then, lists are read from the primary."
        message = f"The replica cannot be reached: {str(error).strip()}"
        yield Report("replica", "warning", message, hint)
        return
    if replayed < 0 or other != cluster:
        problem = "not a replica" if replayed < 0 else "a replica of another cluster"
        hint = "Set LORARY_DATABASE_REPLICA_URL to a server that streams from the primary."
        yield Report("replica", "error", f"The server of the replica is {problem}.", hint)
        return
    connected = f"Its server has {used} of {most} connections open."
    if replayed < written:
        message = f"The replica lacks {size_text(written - replayed)} of the primary's log."
        hint = "Until it catches up, lists are read from the primary; see its pg_stat_wal_receiver."
        yield Report("replica", "warning", f"{message} {connected}", hint)
        return
    yield Report("replica", "ok", f"The replica is up to date. {connected}")


#: The connections of a server, and how many it allows.
_CONNECTIONS = """
    SELECT (SELECT sum(numbackends)::int FROM pg_stat_database),
           current_setting('max_connections')::int
"""


def _guards() -> Iterator[Report]:
    """Report whether the triggers that protect published rows exist."""
    if lost := guards.missing(connection):
        message = f"Triggers that protect published data are missing: {', '.join(lost)}."
        yield Report("guards", "error", message, "Run `manage.py migrate`; it restores them.")
    else:
        yield Report(
            "guards",
            "ok",
            f"All {len(guards.triggers())} triggers that protect published data exist.",
        )


PROBES = {
    "database": _database,
    "replica": _replica,
    "guards": _guards,
}
