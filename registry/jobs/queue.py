"""Background work: rows are the queue, Celery only wakes workers.

``enqueue`` writes a Job in the transaction that makes the work necessary and sends a wake-up
once that has committed. A lost wake-up delays work until the next sweep and loses nothing.
A worker owns a row by a lease that a heartbeat renews; a lease that ran out (its worker was
killed) makes the row claimable again.

Queues are named by the kind of work and, after a dot, by what a worker must have for it
(``checks``, ``render.sdxl``). Jobs run by priority, then by turn (``_turn``), then by age.
"""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, Max, Min, Q, When
from django.utils import timezone
from kombu.exceptions import KombuError

from registry.models import Job, JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import QuerySet

__all__ = [
    "ASKED",
    "BATCH",
    "INTERACTIVE",
    "RENEWAL",
    "WAKE",
    "Cancelled",
    "Fail",
    "Handler",
    "JobRun",
    "Retry",
    "cancel",
    "claim",
    "enqueue",
    "finish",
    "handler",
    "handler_of",
    "is_dead",
    "next_queue",
    "release_dead",
    "release_own",
    "renew",
    "wake",
    "worker_name",
]

WAKE = "registry.wake"

#: Priorities: somebody looks at the screen; an owner asked and may go away; it follows from
#: something else, such as a publication; it renews what is there already.
INTERACTIVE, ASKED, BATCH, RENEWAL = 10, 5, 0, -10

#: Most seconds between two attempts at a job.
LONGEST_PAUSE_S = 120.0

_OPEN = [JobState.QUEUED, JobState.RUNNING]

log = logging.getLogger(__name__)


class Retry(Exception):
    """A transient trouble; the job runs again after ``after_s`` seconds.

    It is an attempt unless nothing was tried: the limit of attempts is for what goes wrong.
    """

    def __init__(self, reason: str, *, after_s: float = 10, is_attempt: bool = True) -> None:
        super().__init__(reason)
        self.after_s, self.is_attempt = after_s, is_attempt


class Fail(Exception):
    """The job cannot succeed; its text is the reason shown to people."""


class Cancelled(Exception):
    """Somebody asked for the job to stop, and it did."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """One attempt at a job, as its handler sees it."""

    job: Job

    @property
    def args(self) -> dict[str, Any]:
        """The ids the job was given."""
        return dict(self.job.args)

    def progress(self, done: int, total: int) -> None:
        """Record how far the work is, in the handler's own unit."""
        Job.objects.filter(pk=self.job.pk).update(done=done, total=total)

    def check_cancelled(self) -> None:
        """Raise Cancelled when somebody asked for it."""
        if Job.objects.filter(pk=self.job.pk, is_cancel_asked=True).exists():
            raise Cancelled


@dataclass(frozen=True, slots=True)
class Handler:
    """A task's function, and what becomes of it.

    Attributes:
        run: Does the job.
        on_failed: Told when it has failed for good.
        transient: Errors after which it is tried again; any other ends it.
        limit_s: Seconds that an attempt may take, from its job; nobody's lease goes on after that.
    """

    run: Callable[[JobRun], None]
    on_failed: Callable[[Job], None] | None = None
    transient: tuple[type[Exception], ...] = (Exception,)
    limit_s: Callable[[Job], float] | None = None


_HANDLERS: dict[str, Handler] = {}


def handler(
    task: str,
    *,
    on_failed: Callable[[Job], None] | None = None,
    transient: tuple[type[Exception], ...] = (Exception,),
    limit_s: Callable[[Job], float] | None = None,
) -> Callable[[Callable[[JobRun], None]], Callable[[JobRun], None]]:
    """Register the function that does jobs of this name; see ``Handler``."""

    def register(function: Callable[[JobRun], None]) -> Callable[[JobRun], None]:
        _HANDLERS[task] = Handler(function, on_failed, transient, limit_s)
        return function

    return register


def handler_of(task: str) -> Handler:
    """Return the handler of a task; KeyError when no installed app registered one."""
    return _HANDLERS[task]


def enqueue(
    *,
    queue: str,
    task: str,
    args: dict[str, Any],
    key: str,
    priority: int = BATCH,
    owner: str = "",
) -> Job:
    """Write the job in the current transaction; an open job with the same key is kept.

    Args:
        queue: Name of the queue that workers serve (``checks``, ``render.sdxl``).
        task: Name under which a handler is registered.
        args: Ids only; everything else is read when the job runs.
        key: Idempotency key: at most one open job has it.
        priority: Higher runs first.
        owner: Namespace or user that it is for; owners take turns.
    """
    wanted: dict[str, Any] = {
        "queue": queue,
        "task": task,
        "args": args,
        "priority": priority,
        "owner": owner,
        "turn": partial(_turn, queue, priority, owner),  # counted only for a new one
    }
    with transaction.atomic():
        job, _is_new = Job.objects.get_or_create(key=key, state__in=_OPEN, defaults=wanted)
        transaction.on_commit(lambda: wake(queue))
    return job


def _turn(queue: str, priority: int, owner: str) -> int:
    """Return when a new job comes, by start-time fair queueing: Goyal, Vin, Cheng 1996.

    It begins where the work of its kind is now, or after its owner's last job. So who has 500 jobs
    open and who has one take turns. Where the work is: at the job that runs, or, while none does,
    at the head of the queue. Turns of all queues of a kind are compared, because one process
    serves them; two jobs of an owner written at the same moment may get the same.
    """
    kind = queue.partition(".")[0]
    peers = Job.objects.filter(priority=priority, state__in=_OPEN).filter(
        Q(queue=kind) | Q(queue__startswith=f"{kind}.")
    )
    found = peers.aggregate(
        running=Max("turn", filter=Q(state=JobState.RUNNING)),
        head=Min("turn", filter=Q(queue=queue)),
        own=Max("turn", filter=Q(owner=owner)),
    )
    now = found["running"] if found["running"] is not None else found["head"]
    return max(now or 0, 0 if found["own"] is None else found["own"] + 1)


def wake(queue: str) -> None:
    """Tell the workers of a queue to look; a broker that is away only costs time."""
    try:
        current_app.send_task(WAKE, kwargs={"queue": queue}, queue=queue, ignore_result=True)
    except (KombuError, OSError) as error:
        log.warning("wake-up of queue %s not sent, the sweep will find the job: %s", queue, error)


def worker_name() -> str:
    """Return ``host:pid`` of this process, as rows name their owner."""
    return f"{_host()}:{os.getpid()}"


def _claimable(queues: Iterable[str]) -> Q:
    """Condition for jobs that a worker of these queues may take.

    Nobody asks to wait longer than ``LONGEST_PAUSE_S``: what should wait longer was written by a
    clock that was ahead, and is due.
    """
    now = timezone.now()
    beyond = now + timedelta(seconds=LONGEST_PAUSE_S)
    due = Q(run_after__isnull=True) | Q(run_after__lte=now) | Q(run_after__gt=beyond)
    waiting = Q(state=JobState.QUEUED) & due
    abandoned = Q(state=JobState.RUNNING, lease_until__lt=now)
    return Q(queue__in=list(queues)) & (waiting | abandoned)


def next_queue(queues: Iterable[str]) -> str | None:
    """Return a queue in which a worker of these would find work."""
    return Job.objects.filter(_claimable(queues)).values_list("queue", flat=True).first()


def claim(*queues: str, after: str = "") -> Job | None:
    """Take the next job of all these queues together, or None.

    What is urgent comes first, whichever of the queues it is in. Among jobs whose turn it is, one
    of the queue that this worker served before (``after``) does, since it is ready for those.
    """
    other = Case(When(queue=after, then=0), default=1)
    with transaction.atomic():
        rows = Job.objects.filter(_claimable(queues)).order_by("-priority", "turn", other, "id")
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True)
        job = rows.first()
        if job is None:
            return None
        job.state = JobState.RUNNING
        job.worker = worker_name()
        job.attempt += 1
        job.started_at = job.started_at or timezone.now()
        job.lease_until = _lease_end()
        job.save()
    return job


def renew(job: Job) -> bool:
    """Prolong the lease; False when the row is no longer this worker's."""
    mine = Job.objects.filter(pk=job.pk, state=JobState.RUNNING, worker=worker_name())
    return mine.filter(attempt=job.attempt).update(lease_until=_lease_end()) == 1


def finish(
    job: Job,
    *,
    state: JobState,
    reason: str = "",
    retry_after_s: float | None = None,
    is_attempt: bool = True,
) -> bool:
    """Close this attempt; False when another worker has taken the row meanwhile."""
    changes: dict[str, Any] = {"state": state, "reason": reason, "lease_until": None, "worker": ""}
    if not is_attempt:
        changes["attempt"] = job.attempt - 1
    if retry_after_s is not None:
        pause_s = min(retry_after_s, LONGEST_PAUSE_S)
        changes["run_after"] = timezone.now() + timedelta(seconds=pause_s)
    else:
        changes["finished_at"] = timezone.now()
    mine = Job.objects.filter(pk=job.pk, state=JobState.RUNNING, attempt=job.attempt)
    return mine.update(**changes) == 1


def cancel(key: str) -> None:
    """Stop the open job of a key: at once when queued, at its next look when running."""
    Job.objects.filter(key=key, state=JobState.RUNNING).update(is_cancel_asked=True)
    Job.objects.filter(key=key, state=JobState.QUEUED).update(
        state=JobState.CANCELLED, finished_at=timezone.now(), is_cancel_asked=True
    )


def release_dead() -> int:
    """Free jobs of other workers on this host that no longer live; returns how many."""
    running = Job.objects.filter(state=JobState.RUNNING, worker__startswith=f"{_host()}:")
    owners = set(running.values_list("worker", flat=True))
    dead = [worker for worker in owners if is_dead(worker)]
    return _free(Job.objects.filter(worker__in=dead, state=JobState.RUNNING))


def release_own(*, is_polite: bool = False) -> int:
    """Free jobs under this process's name; returns how many.

    Call it before work begins, for a dead namesake, and after a polite stop, which does not
    count as an attempt.
    """
    mine = Job.objects.filter(state=JobState.RUNNING, worker=worker_name())
    if is_polite:
        mine.filter(attempt__gt=0).update(attempt=F("attempt") - 1)
    return _free(mine)


def _free(jobs: QuerySet[Job]) -> int:
    return jobs.update(state=JobState.QUEUED, lease_until=None, worker="")


def is_dead(worker: str) -> bool:
    """Whether a worker of this name is known to be gone; of other hosts nothing is known."""
    is_here = worker.startswith(f"{_host()}:") and worker != worker_name()
    return is_here and not _is_alive(worker)


def _host() -> str:
    return socket.gethostname()


def _is_alive(worker: str) -> bool:
    try:
        os.kill(int(worker.rpartition(":")[2]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _lease_end() -> Any:  # noqa: ANN401 - datetime, which django-stubs types per setting
    return timezone.now() + timedelta(seconds=settings.LORARY.job_lease_s)
