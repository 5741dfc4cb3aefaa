"""A database that is locked for seconds, or ends and comes back."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg

from tools.faults.clients.crew import at_work, verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.faults.servers.hubs import FaultyHub
    from tools.faults.trials import Plan, Trial

CLIENTS = 4
SIZES = (100_000, 1_000_000)
#: Seconds that somebody else keeps the write lock: SQLite is waited for 20 seconds, then the
#: answer is 503.
SHORT_LOCK_S, LONG_LOCK_S = 4.0, 25.0
#: Seconds that PostgreSQL is away, and how often.
AWAY_S, RESTARTS = 2.0, 3
BUSY = frozenset({503})


def parts(plan: Plan) -> dict[str, Callable[[Plan, Trial], None]]:
    """Return what can be done to the database of this environment."""
    if plan.environment.is_sqlite:
        return {"SQLite locked by another": _locked, "SQLite locked for long": _locked_long}
    if plan.environment.postgres is not None:
        return {"PostgreSQL restarted": _restarted}
    return {"rows locked by another": _rows_locked}


def _locked(plan: Plan, trial: Trial) -> None:
    _lock(plan, trial, SHORT_LOCK_S, frozenset())


def _locked_long(plan: Plan, trial: Trial) -> None:
    _lock(plan, trial, LONG_LOCK_S, BUSY)


def _lock(plan: Plan, trial: Trial, seconds: float, allowed: frozenset[int]) -> None:
    with plan.environment.hub("locked") as hub:
        with at_work(plan, hub, trial, clients=CLIENTS, sizes=SIZES) as crew:
            time.sleep(2)
            hold_sqlite(hub, seconds)
            time.sleep(1)
        trial.numbers["locked for s"] = seconds
        verify(hub, crew, trial, allowed=allowed)
        for worker in hub.workers:
            trial.expect(worker.poll() is None, "a worker ended by itself")


def hold_sqlite(hub: FaultyHub, seconds: float) -> None:
    """Keep the write lock of a hub's database."""
    file = hub.data / "lorary.sqlite3"
    with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as rows:
        rows.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        rows.execute("ROLLBACK")


def _restarted(plan: Plan, trial: Trial) -> None:
    postgres = plan.environment.postgres
    assert postgres is not None
    with plan.environment.hub("restarted") as hub:
        with at_work(plan, hub, trial, clients=CLIENTS, sizes=SIZES) as crew:
            for _ in range(1 if plan.is_short else RESTARTS):
                time.sleep(3)
                postgres.restart(AWAY_S)
            time.sleep(3)
        trial.numbers["restarts"] = 1 if plan.is_short else RESTARTS
        verify(hub, crew, trial, allowed=BUSY)
        for worker in hub.workers:
            trial.expect(worker.poll() is None, "a worker ended by itself")


def _rows_locked(plan: Plan, trial: Trial) -> None:
    with plan.environment.hub("rows") as hub:
        url = hub.environ["LORARY_DATABASE_URL"]
        with at_work(plan, hub, trial, clients=CLIENTS, sizes=SIZES) as crew:
            time.sleep(2)
            with psycopg.connect(url) as rows:
                rows.execute("LOCK TABLE registry_upload, registry_job IN ACCESS EXCLUSIVE MODE")
                time.sleep(SHORT_LOCK_S)
                rows.rollback()
            time.sleep(1)
        trial.numbers["locked for s"] = SHORT_LOCK_S
        verify(hub, crew, trial)
