# ruff: noqa: ANN401 - signatures of Django's cache
"""The shared cache: Redis, which may be unavailable.

The cache holds the counters of rate limits, and git's ids of blobs, which can be computed again;
attempts to sign in are counted in the database. While the cache is unavailable nothing is counted
and every request is allowed: a hub without rate limits for some minutes is better than a hub that
answers 500.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from hub.monitoring.metrics import CACHE_FAILURES

T = TypeVar("T")

#: Seconds to wait for a connection and for a response. A connection that Redis closed while it was
#: idle is reopened once, immediately; redis-py by itself would retry for seconds.
OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": 0.5,
    "socket_timeout": 1.0,
    "retry": Retry(NoBackoff(), 1),
}

#: Seconds for which a process does not use a cache that failed, and between two warnings.
PAUSE_S = 5.0
WARN_S = 60.0

log = logging.getLogger(__name__)


class TolerantRedisCache(RedisCache):
    """Behaves as an empty cache while Redis is unavailable, and logs a warning once a minute."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, {**params, "OPTIONS": OPTIONS})

    def add(self, *args: Any, **named: Any) -> bool:
        """Return whether the key was added; True while Redis is unavailable."""
        return _tolerate(partial(super().add, *args, **named), default=True)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """Return the value, or the default."""
        return _tolerate(partial(super().get, key, default, version), default=default)

    def set(self, *args: Any, **named: Any) -> None:
        """Store a value."""
        _tolerate(partial(super().set, *args, **named), default=None)

    def delete(self, *args: Any, **named: Any) -> bool:
        """Return whether the key was deleted."""
        return _tolerate(partial(super().delete, *args, **named), default=False)

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Return the new count; ``delta`` while Redis is unavailable.

        Raises:
            ValueError: the key does not exist.
        """
        return _tolerate(partial(super().incr, key, delta, version), default=delta)


class _Outage:
    """Times from which the cache may be used again, and its failure logged again."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ask_from = self.warn_from = 0.0

    def is_on(self) -> bool:
        """Whether the cache failed within the last seconds."""
        return time.monotonic() < self.ask_from

    def begin(self, error: Exception) -> None:
        """Record a failure, and log it at most once a minute."""
        now = time.monotonic()
        with self.lock:
            self.ask_from = now + PAUSE_S
            is_due = now >= self.warn_from
            if is_due:
                self.warn_from = now + WARN_S
        if is_due:
            log.warning("The cache is unavailable: rate limits are not enforced. %s", error)


_OUTAGE = _Outage()


def _tolerate(ask: Callable[[], T], *, default: T) -> T:
    if not _OUTAGE.is_on():
        try:
            return ask()
        except (RedisError, OSError) as error:
            _OUTAGE.begin(error)
    CACHE_FAILURES.inc()
    return default
