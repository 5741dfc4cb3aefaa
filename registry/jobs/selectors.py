"""Workers and the jobs that wait for them."""

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

#: Seconds after the last heartbeat after which a worker counts as gone.
ALIVE_S = 30
#: Prefix of the reason with which a worker returns a job whose task it does not know.
UNKNOWN = "this worker knows no task"
#: Maximum duration of an update, during which only some workers know a task.
UPDATE_TIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker with its running job."""

    worker: Worker
    job: Job | None
    is_alive: bool


@dataclass(frozen=True, slots=True)
class QueueLength:
    """Jobs of a queue: ``running``, and ``waiting`` by priority, the highest first."""

    name: str
    running: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    oldest: datetime | None = None

    @property
    def total(self) -> int:
        """Number of waiting jobs."""
        return sum(self.waiting.values())


def alive() -> list[Worker]:
    """Return the workers with a recent heartbeat, the longest running first."""
    return list(Worker.objects.filter(seen_at__gte=_alive_since()).order_by("started_at", "pk"))


def is_alive(worker: Worker) -> bool:
    """Whether the last heartbeat of a worker is recent."""
    return worker.seen_at >= _alive_since()


def _alive_since() -> datetime:
    return timezone.now() - timedelta(seconds=ALIVE_S)


def serving(queue: str, workers: Iterable[Worker] | None = None) -> list[Worker]:
    """Return alive workers that take jobs of a queue, or will once they are resumed."""
    found = alive() if workers is None else workers
    return [one for one in found if queue in one.queues and one.wish != WorkerWish.DRAIN]


def with_jobs() -> list[WorkerView]:
    """Return all known workers with their running jobs, by name; two queries."""
    return _views(list(Worker.objects.all()))


def view_of(worker: Worker) -> WorkerView:
    """Return a worker with its running job."""
    return _views([worker])[0]


def _views(rows: list[Worker]) -> list[WorkerView]:
    names = [row.name for row in rows]
    running = Job.objects.filter(state=JobState.RUNNING, worker__in=names).order_by("-pk")
    jobs = {job.worker: job for job in running}
    return [WorkerView(row, jobs.get(row.name), is_alive(row)) for row in rows]


def queue_lengths() -> list[QueueLength]:
    """Return the queues with open jobs, by name; two queries."""
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


def ended_lately(*, hours: int = 1) -> list[tuple[str, str, int]]:
    """Return queue, state and number of the jobs that ended in the last hours; one query."""
    since = timezone.now() - timedelta(hours=hours)
    rows = Job.objects.filter(finished_at__gte=since).values_list("queue", "state")
    return list(rows.annotate(n=Count("pk")).order_by("queue", "state"))


def of_unknown_task() -> QuerySet[Job]:
    """Return jobs whose task no worker has known for a long time, the oldest first."""
    since = timezone.now() - UPDATE_TIME
    rows = Job.objects.filter(state=JobState.QUEUED, reason__startswith=UNKNOWN)
    return rows.filter(started_at__lt=since).order_by("started_at")


def failures(*, days: int = 7, limit: int = 50) -> list[Job]:
    """Return the jobs that failed in the last days, the latest first."""
    since = timezone.now() - timedelta(days=days)
    rows = Job.objects.filter(state=JobState.FAILED, finished_at__gte=since)
    return list(rows.order_by("-finished_at")[:limit])
