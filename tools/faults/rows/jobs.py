"""Jobs that wait, and the workers that may take them. Needs Django's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Count

from registry.jobs import queue, workers
from registry.models import Job, JobState, Worker, WorkerWish
from registry.uploads.services import CHECKS_QUEUE
from tools.faults.rows.idle_worker import TASK

if TYPE_CHECKING:
    from collections.abc import Callable

#: Owners of the jobs, who take turns, and messages that wake workers for all jobs.
OWNERS, WAKES = 50, 16

#: Write down each end of a job by themselves: nothing that the code says of it is believed.
_WATCH_ENDS = {
    "sqlite": """
CREATE TABLE faults_end (job_id INTEGER);
CREATE TRIGGER faults_end AFTER UPDATE OF state ON registry_job
WHEN NEW.state IN ('done', 'failed', 'cancelled') AND OLD.state <> NEW.state
BEGIN INSERT INTO faults_end VALUES (NEW.id); END;
""",
    "postgresql": """
CREATE TABLE faults_end (job_id BIGINT);
CREATE FUNCTION faults_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO faults_end VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER faults_end AFTER UPDATE OF state ON registry_job FOR EACH ROW
WHEN (NEW.state IN ('done', 'failed', 'cancelled') AND OLD.state <> NEW.state)
EXECUTE FUNCTION faults_end();
""",
}


def watch_ends() -> None:
    """Count the ends of jobs from now on."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.connection.executescript(_WATCH_ENDS["sqlite"])
        else:
            cursor.execute(_WATCH_ENDS[connection.vendor])


def ends() -> dict[int, int]:
    """Return how often each job ended since then."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT job_id, count(*) FROM faults_end GROUP BY job_id")
        return dict(cursor.fetchall())


def _enqueue(jobs: int, name: str, task: str = TASK, seconds: float = 0) -> None:
    """Write jobs that only wait for some time."""
    Job.objects.bulk_create(
        Job(
            queue=CHECKS_QUEUE,
            task=task,
            args={"seconds": seconds},
            key=f"{name}-{number}",
            max_attempts=1000,
            owner=f"owner{number % OWNERS}",
            turn=number // OWNERS,
        )
        for number in range(jobs)
    )
    for _ in range(WAKES):
        queue.wake(CHECKS_QUEUE)


def _open(name: str) -> int:
    """Return how many of these jobs are open."""
    mine = Job.objects.filter(key__startswith=f"{name}-")
    return mine.filter(state__in=[JobState.QUEUED, JobState.RUNNING]).count()


def _outcome(name: str) -> dict[str, Any]:
    """Return the number of these jobs by state, and how often each number of ends was counted."""
    mine = Job.objects.filter(key__startswith=f"{name}-")
    counted = ends()
    once = sum(counted.get(pk) == 1 for pk in mine.values_list("pk", flat=True))
    states = mine.order_by().values_list("state").annotate(n=Count("pk"))
    begun_again = mine.filter(attempt__gt=1).count()
    return {"states": dict(states), "ended once": once, "begun again": begun_again}


def _jobs_done() -> list[int]:
    """Return how many jobs each worker has done, the oldest worker first."""
    return list(Worker.objects.order_by("started_at").values_list("jobs_done", flat=True))


def _jobs_done_by(pid: int) -> int:
    """Return how many jobs one worker has done."""
    return Worker.objects.get(name__endswith=f":{pid}").jobs_done


def _let_work(pids: list[int]) -> None:
    """Have these workers take jobs, and no others."""
    found = {int(worker.name.rpartition(":")[2]): worker for worker in Worker.objects.all()}
    workers.set_wish([one for pid, one in found.items() if pid not in pids], WorkerWish.PAUSE)
    workers.set_wish([found[pid] for pid in pids], WorkerWish.WORK)


DOES: dict[str, Callable[..., Any]] = {
    "watch_ends": watch_ends,
    "enqueue": _enqueue,
    "open": _open,
    "outcome": _outcome,
    "jobs_done": _jobs_done,
    "jobs_done_by": _jobs_done_by,
    "let_work": _let_work,
}
