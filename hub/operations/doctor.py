"""Diagnosis of a running hub, with hints.

Each probe examines one part and yields reports. Probes change nothing, except for a test file that
they delete again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DatabaseError, connection

from hub.http.problems import is_full, is_unconnected
from hub.operations.diagnosis import catalogue, database, files, machine, services, work
from hub.operations.diagnosis.report import FREE_SPACE, MIGRATE, Report
from hub.operations.failures import UNREACHABLE
from hub.operations.missing_database import missing_hub
from hub.operations.probes import MIN_FREE_BYTES
from registry.errors import StorageAway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Probes that check only a sample by default.
DEEP = frozenset({"bytes", "orphans"})
#: Those before ``database`` do without it.
PROBES: dict[str, Callable[..., Iterator[Report]]] = {
    **machine.PROBES,
    **services.PROBES,
    **database.PROBES,
    **catalogue.PROBES,
    **work.PROBES,
    **files.PROBES,
}


def examine(*, is_deep: bool = False) -> Iterator[Report]:
    """Yield the reports of all probes; without a database, of those that do not need it.

    Args:
        is_deep: Check every stored file; otherwise only a sample if there are many.
    """
    for name, probe in PROBES.items():
        try:
            if name == "database" and (missing := missing_hub()):
                yield Report(name, "error", missing)
                return
            yield from probe(is_deep=True) if is_deep and name in DEEP else probe()
        except DatabaseError as error:
            # SQLite reports "disk I/O error" if it cannot create its log.
            has_no_room = is_full(error) or machine.free_bytes() < MIN_FREE_BYTES
            is_away = connection.connection is None or is_unconnected(error)
            hint = FREE_SPACE if has_no_room else UNREACHABLE if is_away else MIGRATE
            what = "cannot be reached" if is_away else "reports an error"
            yield Report(name, "error", f"The database {what}: {str(error).strip()}", hint)
            if name == "database":
                return
        except StorageAway as error:
            hint = "See the storage report."
            yield Report(name, "error", f"The files cannot be examined: {error.__cause__}", hint)
