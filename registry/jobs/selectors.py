"""Who works on jobs, and what waits for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Count, Min
from django.utils import timezone

from registry.models import Job, JobState, Worker, WorkerWish

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

__all__ = [
    "ALIVE_S",
    "UNKNOWN",
    "QueueLength",
    "WorkerView",
    "failures",
    "lengths",
    "listing",
    "living",
    "serving",
    "unknown",
    "view_of",
]

#: Seconds without a sign after which a worker counts as gone; it gives one every few.
ALIVE_S = 30
#: How the reason begins with which a worker puts a job back whose task it does not know.
UNKNOWN = "this worker knows no task"
#: After this no update is under way any more, in which some workers know a task and some do not.
UPDATE_TIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker as its operator sees it; ``job`` is the one that it is at."""

    worker: Worker
    job: Job | None
    is_alive: bool


@dataclass(frozen=True, slots=True)
class QueueLength:
    """Jobs of a queue that wait, by priority, the highest first; ``running`` are at work."""

    name: str
    running: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    oldest: datetime | None = None

    @property
    def total(self) -> int:
        """Jobs that wait."""
        return sum(self.waiting.values())


def living() -> list[Worker]:
    """Return the workers that gave a sign lately, the longest at work first."""
    alive = timezone.now() - timedelta(seconds=ALIVE_S)
    return list(Worker.objects.filter(seen_at__gte=alive).order_by("started_at", "pk"))


def serving(queue: str, workers: Iterable[Worker] | None = None) -> list[Worker]:
    """Return living workers that take jobs of a queue, or will once they are resumed."""
    found = living() if workers is None else workers
    return [one for one in found if queue in one.queues and one.wish != WorkerWish.DRAIN]


def listing() -> list[WorkerView]:
    """Return every known worker with the job it is at, by name; two queries."""
    return _views(list(Worker.objects.all()))


def view_of(worker: Worker) -> WorkerView:
    """Return one worker with the job it is at."""
    return _views([worker])[0]


def _views(rows: list[Worker]) -> list[WorkerView]:
    alive = timezone.now() - timedelta(seconds=ALIVE_S)
    names = [row.name for row in rows]
    running = Job.objects.filter(state=JobState.RUNNING, worker__in=names).order_by("-pk")
    jobs = {job.worker: job for job in running}
    return [WorkerView(row, jobs.get(row.name), row.seen_at >= alive) for row in rows]


def lengths() -> list[QueueLength]:
    """Return the queues in which something is open, by name; two queries."""
    queued = Job.objects.filter(state=JobState.QUEUED)
    waiting = queued.values("queue", "priority").annotate(n=Count("pk"), oldest=Min("created_at"))
    running = Job.objects.filter(state=JobState.RUNNING).values("queue").annotate(n=Count("pk"))
    busy = {row["queue"]: row["n"] for row in running}
    counts: dict[str, dict[int, int]] = {name: {} for name in busy}
    oldest: dict[str, datetime] = {}
    for row in waiting.order_by("queue", "-priority"):
        name = row["queue"]
        counts.setdefault(name, {})[row["priority"]] = row["n"]
        oldest[name] = min(row["oldest"], oldest.get(name, row["oldest"]))
    return [
        QueueLength(name, busy.get(name, 0), counts[name], oldest.get(name))
        for name in sorted(counts)
    ]


def unknown() -> QuerySet[Job]:
    """Return jobs that no worker has known the task of for long, the oldest first."""
    since = timezone.now() - UPDATE_TIME
    rows = Job.objects.filter(state=JobState.QUEUED, reason__startswith=UNKNOWN)
    return rows.filter(started_at__lt=since).order_by("started_at")


def failures(*, days: int = 7, limit: int = 50) -> list[Job]:
    """Return jobs that failed in these days, the latest first."""
    since = timezone.now() - timedelta(days=days)
    rows = Job.objects.filter(state=JobState.FAILED, finished_at__gte=since)
    return list(rows.order_by("-finished_at")[:limit])
