"""Reads from a replica of PostgreSQL, for lists that are shown to visitors.

Requests for ``ROUTES`` without a session or a token read from it. Everything else reads from the
primary: whoever has signed in sees their own changes at once, and nobody gets the bytes or the page
of an adapter that was just blocked or made private. A replica that is further behind than
``MAX_LAG_S``, or fails, is not read from; a request that it fails is answered by the primary.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from hub.http.middleware import is_anonymous
from hub.monitoring.metrics import REPLICA_REQUESTS

ALIAS = "replica"
#: Names of lists, searches and counts, which are most of the work of the database.
ROUTES = frozenset(
    {
        "api-adapters", "api-packs", "browse", "browse-values", "civitai-creators",
        "civitai-images", "civitai-models", "civitai-tags", "hf-models", "home", "packs", "profile",
    }
)  # fmt: skip
#: How long a list may show what is no longer public.
MAX_LAG_S = 10.0
#: Seconds between two checks of a replica that works, and of one that failed.
CHECK_S, RETRY_S = 1.0, 5.0
#: The cluster and a position in its log; a server that is not a replica replays nothing.
POSITION = "SELECT system_identifier, pg_wal_lsn_diff({}, '0/0') FROM pg_control_system()"
WRITTEN = POSITION.format("pg_current_wal_lsn()")
REPLAYED = POSITION.format("pg_last_wal_replay_lsn()")

log = logging.getLogger(__name__)

_is_reading: ContextVar[bool] = ContextVar("is_reading", default=False)


class Router:
    """Sends reads within ``_reading`` to the replica, until the request writes."""

    def db_for_read(self, _model: type[Model], **_hints: object) -> str:
        """Return the database to read from; in a transaction, the primary."""
        is_free = _is_reading.get() and not connections[DEFAULT_DB_ALIAS].in_atomic_block
        return ALIAS if is_free else DEFAULT_DB_ALIAS

    def db_for_write(self, _model: type[Model], **_hints: object) -> str:
        """Return the primary, which the rest of the request reads from, too."""
        _is_reading.set(False)
        return DEFAULT_DB_ALIAS

    def allow_relation(self, _one: Model, _other: Model, **_hints: object) -> bool:
        """Return True: rows of both databases are the same."""
        return True

    def allow_migrate(self, db: str, _app: str, **_hints: object) -> bool:
        """Whether migrations change a database; those of the primary are replicated."""
        return db == DEFAULT_DB_ALIAS


@contextmanager
def _reading() -> Iterator[None]:
    token = _is_reading.set(True)
    try:
        yield
    finally:
        _is_reading.reset(token)


class Freshness:
    """What a process knows of how far the replica is behind.

    Each second it notes the primary's position in the log, and which noted position the replica has
    reached. The replica therefore contains all that was committed before that position was noted,
    whatever the clocks of both servers say, and also if the replica has lost the primary.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._check_from = 0.0
        self._fresh_at = -math.inf
        self._notes: deque[tuple[float, int]] = deque(maxlen=int(MAX_LAG_S / CHECK_S) + 1)
        self._is_used = True

    def is_sufficient(self) -> bool:
        """Whether the replica has all that was committed ``MAX_LAG_S`` ago.

        One thread checks while others use its last result.
        """
        if monotonic() >= self._check_from and self._lock.acquire(blocking=False):
            try:
                self._check()
            finally:
                self._lock.release()
        return monotonic() - self._fresh_at <= MAX_LAG_S

    def _check(self) -> None:
        self._check_from = monotonic() + CHECK_S
        try:
            noted_at = monotonic()
            cluster, written = position(DEFAULT_DB_ALIAS, WRITTEN)
            other, replayed = position(ALIAS, REPLAYED)
        except Error as error:
            self._fresh_at, self._check_from = -math.inf, monotonic() + RETRY_S
            self._report(problem=f"cannot be checked: {str(error).strip()}")
            return
        if other != cluster:  # of one that was restored from a dump, positions mean nothing
            self._fresh_at = -math.inf
            self._report(problem="is one of another cluster")
            return
        self._notes.append((noted_at, written))
        reached = (at for at, written in self._notes if written <= replayed)
        self._fresh_at = max(reached, default=self._fresh_at)
        is_late = monotonic() - self._fresh_at > MAX_LAG_S
        self._report(problem="is not up to date" if is_late else "")

    def _report(self, *, problem: str) -> None:
        """Log when the replica stops or begins to be used."""
        if problem and self._is_used:
            log.warning("The replica %s. Lists are read from the primary.", problem)
        elif not (problem or self._is_used):
            log.warning("Lists are read from the replica again.")
        self._is_used = not problem


@cache
def _connection(alias: str) -> BaseDatabaseWrapper:
    """Return a connection that threads share for checks, as requests may have all of the pool."""
    found = connections[alias].copy()
    found.settings_dict["OPTIONS"].pop("pool", None)
    found.inc_thread_sharing()
    return found


def position(alias: str, query: str) -> tuple[int, int]:
    """Return a server's cluster, and its position in the log: -1 if it has none.

    Raises:
        Error: the database does not answer.
    """
    own = _connection(alias)
    try:
        with own.cursor() as cursor:
            cursor.execute(query)
            cluster, found = cursor.fetchone()
    except Error:
        own.close()  # the next check connects again
        raise
    return cluster, -1 if found is None else int(found)


FRESHNESS = Freshness()


class ReplicaMiddleware:
    """Answers visitors' requests for lists from the replica; it comes last.

    Their views only read, so that one can be called again for the same request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.LORARY.database_replica_url:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the response."""
        return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponseBase],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> HttpResponseBase | None:
        """Return the answer from the replica; None to have the view read from the primary."""
        if not may_read(request):
            return None
        result, response = "behind", None
        if FRESHNESS.is_sufficient():
            response = _from_replica(request, view, args, kwargs)
            result = "failed" if response is None else "used"
        REPLICA_REQUESTS.labels(result).inc()
        return response


def may_read(request: HttpRequest) -> bool:
    """Whether a request is one of a visitor for a list."""
    match = request.resolver_match
    is_list = match is not None and match.url_name in ROUTES and request.method in {"GET", "HEAD"}
    # Clients of Civitai send tokens in the query.
    return is_list and is_anonymous(request) and "token" not in request.GET


def _from_replica(
    request: HttpRequest,
    view: Callable[..., HttpResponseBase],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> HttpResponseBase | None:
    """Return a view's answer; None if it fails, which may be the replica's fault."""
    try:
        with _reading():
            response = view(request, *args, **kwargs)
    except Error as error:
        log.warning("The replica failed a request: %s", str(error).strip())
    else:
        if response.status_code < 500:
            return response
    return None
