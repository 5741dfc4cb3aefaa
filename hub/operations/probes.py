"""Probes of the hub's parts, by small operations that end within a second.

Each probe fills in facts, as far as it gets, and raises an exception if its part does not work.
``hub.operations.health`` runs them.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import redis
from celery import current_app
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, Sum
from django.utils import timezone

from hub.operations.backup import last_complete
from hub.shared_cache import OPTIONS
from registry import storage
from registry.audit.selectors import failed_backup
from registry.database import facet_counters
from registry.errors import StorageFull
from registry.jobs import selectors as job_selectors
from registry.models import Blob, FacetChange, FacetCount, Namespace, Upload, Worker

Facts: TypeAlias = dict[str, Any]
Probe: TypeAlias = Callable[[Facts], None]

#: Seconds that a part has to respond.
TIMEOUT_S = 0.8
#: Free bytes below which the hub cannot accept a part of an upload and some rows.
MIN_FREE_BYTES = 16 * 2**20
#: Kinds of workers, the part of a queue's name before the dot.
KINDS = ("checks", "render")


def check_database(facts: Facts) -> None:
    """Write a row.

    Raises:
        Error: the database is unavailable, full or read-only.
        StorageFull: the disk of SQLite is nearly full.
    """
    if connection.vendor == "sqlite":
        _require_room(settings.LORARY.data, facts)
    try:
        wait_ms = int(500 * TIMEOUT_S)  # less than the probe has
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute(f"PRAGMA busy_timeout = {wait_ms}")
        with transaction.atomic(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                # Not that of the session: a pool gives the connection to requests next.
                cursor.execute(f"SET LOCAL statement_timeout = {wait_ms}")
            # The newest row of a table that every hub has; nothing changes in it.
            newest = "(SELECT max(id) FROM django_migrations)"
            cursor.execute(f"UPDATE django_migrations SET app = app WHERE id = {newest}")  # noqa: S608 - fixed text
    except OperationalError as error:
        if not _is_locked(error):  # another connection writes, so writing works
            raise
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_CONNECTIONS)
            facts["connections"], facts["max_connections"] = cursor.fetchone()


#: Connections of all databases of the server, and how many it allows to users.
_CONNECTIONS = """
    SELECT sum(numbackends)::int, current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
    FROM pg_stat_database
"""


def _is_locked(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def check_migrations(facts: Facts) -> None:
    """Require that all migrations are applied.

    Raises:
        RuntimeError: some are not.
    """
    missing = sorted(_leaves() - set(MigrationRecorder(connection).applied_migrations()))
    facts["missing"] = [f"{app}.{name}" for app, name in missing]
    if missing:
        msg = f"migrations are not applied: {', '.join(facts['missing'])}"
        raise RuntimeError(msg)


@cache
def _leaves() -> set[tuple[str, str]]:
    return set(MigrationLoader(None).graph.leaf_nodes())


def check_storage(facts: Facts) -> None:
    """Write a file and delete it.

    Raises:
        StorageFull: the disk is full.
        StorageAway: the store cannot be reached.
        OSError: the store reports an error.
    """
    key, place = storage.new_key(), storage.parse_location(settings.LORARY.storage)
    if not isinstance(place, storage.BucketLocation):
        _require_room(place, facts)
    try:
        storage.store().write(key, [b"lorary health"])
    finally:
        storage.store().delete(key)


def _require_room(folder: Path, facts: Facts) -> None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    facts["free_bytes"], facts["min_free_bytes"] = free, MIN_FREE_BYTES
    if free < MIN_FREE_BYTES:
        msg = f"{folder} has {free:,} bytes left"
        raise StorageFull(msg)


def check_broker(_facts: Facts) -> None:
    """Connect to the broker.

    Raises:
        Exception: it cannot be reached.
    """
    with current_app.connection_for_write() as link:
        link.ensure_connection(max_retries=1, timeout=math.ceil(TIMEOUT_S))


def check_cache(facts: Facts) -> None:
    """Connect to the shared cache, if there is one.

    Raises:
        RedisError: it cannot be reached.
    """
    facts["is_shared"] = bool(settings.LORARY.cache_url)
    if facts["is_shared"]:
        with redis.from_url(settings.LORARY.cache_url, **OPTIONS) as client:
            client.ping()


def list_queues(facts: Facts) -> None:
    """Count open jobs, and jobs that ended within an hour, of each queue."""
    now = timezone.now()
    facts["queues"] = [
        {
            "name": queue.name,
            "running": queue.running,
            "queued": queue.total,
            "oldest_seconds": (now - queue.oldest).total_seconds() if queue.oldest else 0.0,
        }
        for queue in job_selectors.queue_lengths()
    ]
    facts["ended_last_hour"] = job_selectors.ended_lately()


def list_workers(facts: Facts) -> None:
    """Count living workers by kind and queue, and tell when each kind was seen last."""
    now, rows = timezone.now(), list(Worker.objects.all())
    living = [row for row in rows if job_selectors.is_alive(row)]
    for kind in KINDS:
        of_kind = [row for row in rows if any(_kind(name) == kind for name in row.queues)]
        ages = [(now - row.seen_at).total_seconds() for row in of_kind]
        facts[kind] = {
            "alive": sum(row in living for row in of_kind),
            "seen_seconds_ago": min(ages, default=None),
        }
    served = [name for row in living for name in row.queues]
    facts["queues"] = {name: served.count(name) for name in sorted(set(served))}


def _kind(queue: str) -> str:
    return queue.partition(".")[0]


def count_contents(facts: Facts) -> None:
    """Count uploads and blobs with their sizes, by indexes, and listed adapters, by counters.

    Also tell when the last complete backup was made, and whether the last attempt failed.
    """
    uploads = Upload.objects.order_by().values("state")
    facts["uploads"] = {
        row["state"]: (row["n"], row["size"])
        for row in uploads.annotate(n=Count("pk"), size=Sum("size_bytes"))
    }
    stored = Blob.objects.filter(is_stored=True)
    facts["blobs"] = {
        state: tuple(rows.aggregate(n=Count("pk"), size=Sum("size_bytes", default=0)).values())
        for state, rows in (
            ("referenced", stored.filter(unreferenced_since=None)),
            ("unreferenced", stored.exclude(unreferenced_since=None)),
            ("deleted", Blob.objects.filter(is_stored=False)),
        )
    }
    total = {"field": facet_counters.TOTAL, "value": ""}
    counted = FacetCount.objects.filter(**total).aggregate(n=Sum("count", default=0))["n"]
    changed = FacetChange.objects.filter(**total).aggregate(n=Sum("delta", default=0))["n"]
    facts["adapters"] = counted + changed
    facts["last_backup"] = last_complete()
    facts["has_backup_failed"] = failed_backup() is not None
    facts["charged_bytes"] = Namespace.objects.aggregate(n=Sum("used_bytes", default=0))["n"]


#: Parts without which the hub is not ready.
PARTS: dict[str, Probe] = {
    "database": check_database,
    "migrations": check_migrations,
    "storage": check_storage,
    "broker": check_broker,
}
#: What operators see besides.
DETAILS: dict[str, Probe] = {
    "cache": check_cache,
    "queues": list_queues,
    "workers": list_workers,
}
#: What only metrics show, as it takes longer.
CONTENTS: dict[str, Probe] = {"contents": count_contents}
