"""Health checks for monitors: ``/healthz/live``, and ``/healthz/ready`` or ``/healthz``.

They accept any ``Host``: monitors use the address of a machine.

Each part of the hub is probed in its own thread by a small operation, and has ``PROBE_TIMEOUT_S``
to respond. A probe that hangs is not started again until it ends, so probes never pile up. Results
are cached for ``CACHE_S``, so that frequent requests are cheap.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.db import OperationalError, connection, connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from registry import storage
from registry.errors import StorageFull

#: Seconds that a part has to respond, and seconds for which its result is cached.
PROBE_TIMEOUT_S, CACHE_S = 1.0, 5.0
#: Free bytes below which the hub cannot accept a part of an upload and some rows.
MIN_FREE_BYTES = 16 * 2**20

log = logging.getLogger(__name__)


def check_database() -> None:
    """Write a row.

    Raises:
        Error: the database is unavailable, full or read-only.
        StorageFull: the disk of SQLite is nearly full.
    """
    if connection.vendor == "sqlite":
        _require_room(settings.LORARY.data)
    try:
        _limit_waiting()
        with transaction.atomic(), connection.cursor() as cursor:
            # The newest row of a table that every hub has; nothing changes in it.
            newest = "(SELECT max(id) FROM django_migrations)"
            cursor.execute(f"UPDATE django_migrations SET app = app WHERE id = {newest}")  # noqa: S608 - fixed text
    except OperationalError as error:
        if not _is_locked(error):  # another connection writes, so writing works
            raise


def _limit_waiting() -> None:
    """Set the timeout of the database below that of the probe."""
    wait_ms = int(500 * PROBE_TIMEOUT_S)
    is_sqlite = connection.vendor == "sqlite"
    statement = "PRAGMA busy_timeout" if is_sqlite else "SET statement_timeout"
    with connection.cursor() as cursor:
        cursor.execute(f"{statement} = {wait_ms}")


def _is_locked(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def check_migrations() -> None:
    """Require that all migrations are applied.

    Raises:
        RuntimeError: some are not.
    """
    missing = _leaves() - set(MigrationRecorder(connection).applied_migrations())
    if missing:
        msg = f"migrations are not applied: {sorted(missing)}"
        raise RuntimeError(msg)


@cache
def _leaves() -> set[tuple[str, str]]:
    return set(MigrationLoader(None).graph.leaf_nodes())


def check_storage() -> None:
    """Write a file and delete it.

    Raises:
        StorageFull: the disk is full.
        StorageAway: the store cannot be reached.
        OSError: the store reports an error.
    """
    key, place = storage.new_key(), storage.parse_location(settings.LORARY.storage)
    if not isinstance(place, storage.BucketLocation):
        _require_room(place)
    try:
        storage.store().write(key, [b"lorary health"])
    finally:
        storage.store().delete(key)


def _require_room(folder: Path) -> None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        msg = f"{folder} has {free:,} bytes left"
        raise StorageFull(msg)


def check_broker() -> None:
    """Connect to the broker.

    Raises:
        Exception: it cannot be reached.
    """
    with current_app.connection_for_write() as link:
        link.ensure_connection(max_retries=1, timeout=math.ceil(PROBE_TIMEOUT_S))


PARTS: dict[str, Callable[[], None]] = {
    "database": check_database,
    "migrations": check_migrations,
    "storage": check_storage,
    "broker": check_broker,
}
#: Requests do without them, and so a balancer must not take every web server away at once.
DISPENSABLE = {"broker"}


class Health:
    """Cached states of the hub's parts, as one process knows them."""

    def __init__(self, parts: dict[str, Callable[[], None]]) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._pid = 0
        self._probes: dict[str, Future[bool]] = {}
        self._known: dict[str, bool] = {}
        self._known_until = 0.0

    def part_states(self) -> dict[str, bool]:
        """Return for each part whether it works; probe the parts if the cache has expired."""
        with self._lock:
            if self._pid != os.getpid():  # a fork does not copy threads
                self._pid, self._probes, self._known_until = os.getpid(), {}, 0.0
                self._pool = ThreadPoolExecutor(len(self._parts), "health")
            if time.monotonic() >= self._known_until:
                self._probe()
                self._known_until = time.monotonic() + CACHE_S
            return dict(self._known)

    def _probe(self) -> None:
        for name, check in self._parts.items():
            if name not in self._probes or self._probes[name].done():
                self._probes[name] = self._pool.submit(self._passes, name, check)
        wait(self._probes.values(), PROBE_TIMEOUT_S)
        self._known = {
            name: probe.done() and probe.result() for name, probe in self._probes.items()
        }

    def _passes(self, name: str, check: Callable[[], None]) -> bool:
        try:
            check()
        except Exception as error:  # noqa: BLE001 - any exception means that the part fails
            if self._known.get(name, True):
                log.warning("the %s does not work: %s", name, error.__cause__ or error)
            return False
        finally:
            connections.close_all()
        return True


_HEALTH = Health(PARTS)


@require_safe
@never_cache
def live(_request: HttpRequest) -> JsonResponse:
    """Answer 200. The web server, ``hub.webserver.gunicorn_worker``, answers by itself."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def ready(_request: HttpRequest) -> JsonResponse:
    """Respond with 200 if all parts work that requests need, otherwise 503; the log has reasons."""
    found = _HEALTH.part_states()
    parts = {name: "up" if is_fit else "down" for name, is_fit in found.items()}
    is_ready = all(is_fit for name, is_fit in found.items() if name not in DISPENSABLE)
    status = "ok" if all(found.values()) else "degraded" if is_ready else "unavailable"
    return JsonResponse({"status": status, **parts}, status=200 if is_ready else 503)


VIEWS: dict[str, Callable[[HttpRequest], HttpResponseBase]] = {
    "/healthz": ready,
    "/healthz/live": live,
    "/healthz/ready": ready,
}


class HealthMiddleware:
    """Answers health checks before other middleware checks the host or loads the session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the health, or the response of the rest of the site."""
        view = VIEWS.get(request.path_info)
        return self.get_response(request) if view is None else view(request)
