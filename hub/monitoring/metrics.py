"""Metrics of the web processes, which other code counts.

Labels have few values: names of routes and never paths, methods that HTTP defines, statuses. The
figures of the whole hub, such as queues and uploads, come from ``hub_figures``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

#: Upper limits of seconds; a page takes 0.02, a heavy search 1.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS = Counter("lorary_http_requests", "Answered requests.", ["route", "method", "status"])
DURATION = Histogram(
    "lorary_http_request_duration_seconds",
    "Seconds until the answer began.",
    ["route", "method"],
    buckets=SECONDS,
)
RESPONSE_BYTES = Counter("lorary_http_response_bytes", "Bytes of answers.", ["route"])
IN_PROGRESS = Gauge(
    "lorary_http_requests_in_progress",
    "Requests that hold a thread.",
    multiprocess_mode="livesum",
)
DOWNLOADS = Counter("lorary_downloads", "Files of versions that were sent to their end.")
CACHE_FAILURES = Counter(
    "lorary_cache_failures",
    "Calls to the shared cache that failed. Their rate limits were not enforced.",
)
REPLICA_REQUESTS = Counter(
    "lorary_database_replica_requests",
    "Requests that the replica may answer, by result: it was used, was behind, or failed (then the "
    "primary answered).",
    ["result"],
)


@dataclass(frozen=True, slots=True)
class _Series:
    requests: Counter
    duration: Histogram
    sent: Counter


@cache
def _series(route: str, method: str, status: int) -> _Series:
    """Return the series of labels; the client would look each up in a dictionary under a lock."""
    return _Series(
        REQUESTS.labels(route, method, str(status)),
        DURATION.labels(route, method),
        RESPONSE_BYTES.labels(route),
    )


def count_request(route: str, method: str, status: int, seconds: float, size: int) -> None:
    """Count an answered request."""
    series = _series(route, method if method in METHODS else "other", status)
    series.requests.inc()
    series.duration.observe(seconds)
    if size:
        series.sent.inc(size)
