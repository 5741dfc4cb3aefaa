"""Metrics of the whole hub, from the probes of its parts (``hub.operations.probes``).

They are the same on each web process: aggregate them with ``max``, not with ``sum``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.operations.health import HEALTH, PartState
from hub.operations.probes import CONTENTS, DETAILS, KINDS, PARTS
from registry.models import JobState, UploadState


class HubFigures(Collector):
    """Yields metrics of the parts that answer; ``lorary_up`` says which do."""

    def collect(self) -> Iterable[Metric]:
        """Yield all metrics."""
        found = HEALTH.states([*PARTS, *DETAILS, *CONTENTS])
        yield from _parts({name: found[name] for name in (*PARTS, "cache")})
        yield from _database(found["database"], found["migrations"])
        if found["queues"].is_up:
            yield from _jobs(found["queues"])
        if found["workers"].is_up:
            yield from _workers(found["workers"])
        if found["contents"].is_up:
            yield from _contents(found["contents"])


def _gauge(
    name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"lorary_{name}", text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _parts(found: dict[str, PartState]) -> Iterator[Metric]:
    parts = found.items()
    yield _gauge(
        "up", "Whether a part works.", ("part",), (((name,), s.is_up) for name, s in parts)
    )
    yield _gauge(
        "probe_duration_seconds", "Seconds until a part answered.", ("part",),
        (((name,), state.seconds) for name, state in parts),
    )  # fmt: skip
    for fact, text in (
        ("free_bytes", "Free bytes of the disk of a part."),
        ("min_free_bytes", "Free bytes below which a part does not work."),
    ):
        rows = (((name,), s.facts[fact]) for name, s in parts if fact in s.facts)
        yield _gauge(f"disk_{fact}", text, ("part",), rows)


def _database(database: PartState, migrations: PartState) -> Iterator[Metric]:
    for fact, text in (
        ("connections", "Open connections of PostgreSQL, of all its users."),
        ("max_connections", "Connections that PostgreSQL allows."),
    ):
        if fact in database.facts:
            yield _gauge(f"database_{fact}", text, (), [((), database.facts[fact])])
    if "missing" in migrations.facts:
        missing = len(migrations.facts["missing"])
        yield _gauge("migrations_missing", "Migrations not applied.", (), [((), missing)])


def _split(queue: str) -> tuple[str, str]:
    kind, _dot, family = queue.partition(".")
    return kind, family


def _jobs(state: PartState) -> Iterator[Metric]:
    queues, labels = state.facts["queues"], ("kind", "family")
    yield _gauge(
        "jobs", "Open jobs.", (*labels, "state"),
        (
            ((*_split(queue["name"]), name), queue[name])
            for queue in queues
            for name in (JobState.QUEUED.value, JobState.RUNNING.value)
        ),
    )  # fmt: skip
    yield _gauge(
        "jobs_oldest_queued_seconds", "Age of the oldest queued job.", labels,
        ((_split(queue["name"]), queue["oldest_seconds"]) for queue in queues),
    )  # fmt: skip
    yield _gauge(
        "jobs_ended_last_hour", "Jobs that ended within an hour.", (*labels, "state"),
        (((*_split(name), end), n) for name, end, n in state.facts["ended_last_hour"]),
    )  # fmt: skip


def _workers(state: PartState) -> Iterator[Metric]:
    kinds = [(kind, state.facts[kind]) for kind in KINDS]
    yield _gauge(
        "workers", "Living workers.", ("kind",), (((kind,), one["alive"]) for kind, one in kinds)
    )
    yield _gauge(
        "worker_heartbeat_age_seconds", "Age of the latest heartbeat of a kind.", ("kind",),
        (
            ((kind,), one["seen_seconds_ago"])
            for kind, one in kinds
            if one["seen_seconds_ago"] is not None
        ),
    )  # fmt: skip
    yield _gauge(
        "queue_workers", "Living workers that serve a queue.", ("kind", "family"),
        ((_split(name), count) for name, count in state.facts["queues"].items()),
    )  # fmt: skip


def _contents(state: PartState) -> Iterator[Metric]:
    uploads = {name: state.facts["uploads"].get(name, (0, 0)) for name in UploadState.values}
    for what, pairs in (("upload", uploads), ("blob", state.facts["blobs"])):
        counts = (((name,), count) for name, (count, _size) in pairs.items())
        sizes = (((name,), size) for name, (_count, size) in pairs.items())
        yield _gauge(f"{what}s", f"Rows of {what}s.", ("state",), counts)
        yield _gauge(f"{what}_bytes", f"Bytes of {what}s.", ("state",), sizes)
    adapters, charged = state.facts["adapters"], state.facts["charged_bytes"]
    yield _gauge("adapters", "Listed adapters.", (), [((), adapters)])
    yield _gauge("charged_bytes", "Bytes that count against quotas.", (), [((), charged)])
    made = state.facts["last_backup"]
    yield _gauge(
        "backup_last_success_timestamp_seconds",
        "When the last complete backup was made, of only the database if the files are in a bucket;"
        " absent if there was none.",
        (),
        [((), made.timestamp())] if made else [],
    )
    yield _gauge(
        "backup_failed",
        "1 if the last attempt at a backup saved nothing or not all files, otherwise 0.",
        (),
        [((), state.facts["has_backup_failed"])],
    )
