"""Background work: the queue is a table, and Celery only wakes workers.

``enqueue`` writes a Job in the transaction that requires the work, and sends a wake-up after the
commit. A lost wake-up only delays work until a worker next looks for jobs. A worker owns a row by a
lease, which a heartbeat renews. An expired lease (its worker was killed) makes the row claimable
again.

Queues are named by the kind of work and, after a dot, by what a worker needs for it (``checks``,
``render.sdxl``). Jobs run by priority, then by turn (``_turn``), then by age.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, Q, Subquery, When
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import KombuError

from registry import log_context
from registry.jobs.identity import is_dead, worker_name
from registry.models import OPEN_JOB_STATES, Job, JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.db.models import QuerySet

WAKE = "registry.wake"

#: Priorities: a user is watching; a visitor without an account is; an owner asked for it; it
#: follows from something else, such as a publication; it renews existing results; it adds to
#: results that are there, such as a report.
INTERACTIVE, VISITOR, ASKED, BATCH, RENEWAL, BACKGROUND = 10, 8, 5, 0, -10, -20

#: Seconds for which a process sends no wake-ups after one that failed.
SILENT_S = 2.0

#: Maximum seconds between two attempts at a job.
LONGEST_PAUSE_S = 120.0

#: Ended jobs are kept for this time, for the operator's page and estimates of durations.
KEPT_FOR = timedelta(days=30)
#: Maximum number of ended jobs deleted in one transaction.
FORGOTTEN_AT_ONCE = 500


#: Stands for now in SQL that is built once.
_THEN = datetime(1970, 1, 2, 3, 4, 5, tzinfo=UTC)

log = logging.getLogger(__name__)


class Retry(Exception):
    """A temporary problem; the job runs again after ``after_s`` seconds.

    Without ``is_attempt`` it doesn't count towards the maximum number of attempts.
    """

    def __init__(self, reason: str, *, after_s: float = 10, is_attempt: bool = True) -> None:
        super().__init__(reason)
        self.after_s, self.is_attempt = after_s, is_attempt


class Fail(Exception):
    """The job cannot succeed; the text is the reason that users see."""


class Cancelled(Exception):
    """The job stopped because somebody cancelled it."""


class LeaseLost(Exception):
    """Another worker has taken the job over; this attempt must not write anything more."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """One attempt at a job, as its handler sees it; ``queues`` are those that the worker serves."""

    job: Job
    queues: tuple[str, ...] = ()

    @property
    def args(self) -> dict[str, Any]:
        """The arguments of the job."""
        return dict(self.job.args)

    def progress(self, done: int, total: int) -> None:
        """Record the progress of the work, in the handler's own unit.

        Raises:
            LeaseLost: another worker has taken the job over.
        """
        if not _held(self.job).update(done=done, total=total):
            raise LeaseLost

    def check_cancelled(self) -> None:
        """Require that the job is still wanted, and this worker's; call it before results.

        Raises:
            Cancelled: somebody cancelled it.
            LeaseLost: another worker has taken it over.
        """
        is_cancel_asked = _held(self.job).values_list("is_cancel_asked", flat=True).first()
        if is_cancel_asked is None:
            raise LeaseLost
        if is_cancel_asked:
            raise Cancelled

    def give_way(self) -> None:
        """Raise Retry if a user waits for a job that this worker could run instead of this one.

        Handlers of long background jobs call it where they can resume later.
        """
        if self.job.priority < VISITOR and _heads(self.queues, timezone.now()).filter(
            priority__gte=VISITOR
        ):
            text = _("Jobs that somebody waits for come first.")
            raise Retry(text, after_s=0, is_attempt=False)


@dataclass(frozen=True, slots=True)
class Handler:
    """The function of a task, and its error handling.

    Attributes:
        transient: Errors after which the job is retried; other errors end it.
        limit_s: Time limit of an attempt in seconds, by job; leases are not renewed after that.
    """

    run: Callable[[JobRun], None]  # does the job
    on_failed: Callable[[Job], None] | None = None  # called when the job has finally failed
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
    """Register the function for jobs of this name; see ``Handler``."""

    def register(function: Callable[[JobRun], None]) -> Callable[[JobRun], None]:
        _HANDLERS[task] = Handler(function, on_failed, transient, limit_s)
        return function

    return register


def handler_of(task: str) -> Handler:
    """Return the handler of a task.

    Raises:
        KeyError: no installed app registered one.
    """
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
    """Write the job in the current transaction, unless an open job has the same key.

    Args:
        queue: Name of the queue that workers serve (``checks``, ``render.sdxl``).
        task: Name under which a handler is registered.
        args: Only ids; everything else is read when the job runs.
        key: Idempotency key: at most one open job has it.
        priority: Higher runs first.
        owner: Namespace or user that the job is for; owners take turns.
    """
    context = log_context.current()
    wanted: dict[str, Any] = {
        "queue": queue,
        "task": task,
        "args": args,
        "priority": priority,
        "owner": owner,
        "request_id": context.request_id,
        "trace_parent": context.trace_parent,
        "turn": partial(_turn, queue, priority, owner),  # computed only for a new job
    }
    with transaction.atomic():
        job, _is_new = Job.objects.get_or_create(
            key=key, state__in=OPEN_JOB_STATES, defaults=wanted
        )
        transaction.on_commit(lambda: wake(queue))
    return job


def _turn(queue: str, priority: int, owner: str) -> int:
    """Return the turn of a new job, by start-time fair queueing: Goyal, Vin, Cheng 1996.

    A job comes after the current turn and after its owner's last job. An owner with 500 open
    jobs and one with a single job thus take turns. The current turn is that of the running job or,
    without one, that of the head of the queue. Turns are compared in all queues of a kind, because
    one process serves them. Two jobs that an owner writes at the same moment may get the same turn.
    """
    kind = queue.partition(".")[0]
    jobs = Job.objects.filter(priority=priority)
    peers = jobs.filter(Q(queue=kind) | Q(queue__startswith=f"{kind}."))
    # Each query uses its own index; a single query would read every open job.
    now = _first_turn(peers.filter(state=JobState.RUNNING).order_by("-turn"))
    if now is None:
        now = _first_turn(jobs.filter(queue=queue, state=JobState.QUEUED).order_by("turn"))
    mine = (peers.filter(owner=owner, state=state) for state in OPEN_JOB_STATES)
    own = (_first_turn(jobs.order_by("-turn")) for jobs in mine)
    return max(now or 0, *(0 if turn is None else turn + 1 for turn in own))


def _first_turn(jobs: QuerySet[Job]) -> int | None:
    return jobs.values_list("turn", flat=True).first()


class _Silence:
    """The time until which this process sends no wake-ups, because the broker was away."""

    until = 0.0


def wake(queue: str) -> None:
    """Wake the workers of a queue. Without a broker, workers find the job later."""
    if time.monotonic() < _Silence.until:
        return
    try:
        current_app.send_task(WAKE, kwargs={"queue": queue}, queue=queue, ignore_result=True)
    except (KombuError, OSError) as error:
        _Silence.until = time.monotonic() + SILENT_S
        log.warning("wake-up of queue %s not sent, workers find the job later: %s", queue, error)


def _claimable(now: datetime, beyond: datetime) -> tuple[Q, Q]:
    """Return the conditions for jobs that wait, and for those left by a dead worker.

    No retry waits longer than ``LONGEST_PAUSE_S``. A later ``run_after`` (``beyond``) was set by a
    clock that was ahead, and counts as due.
    """
    due = Q(run_after__isnull=True) | Q(run_after__lte=now) | Q(run_after__gt=beyond)
    waiting = Q(state=JobState.QUEUED) & due
    abandoned = Q(state=JobState.RUNNING, lease_until__lt=now)
    return waiting, abandoned


def _beyond(now: datetime) -> datetime:
    return now + timedelta(seconds=LONGEST_PAUSE_S)


def _heads(queues: Sequence[str], now: datetime, *, locks: bool = False) -> QuerySet[Job]:
    """Return the first waiting job of each queue, and the first one left by a dead worker.

    Each is the first in an index; sorting across all queues would read every waiting job.
    """
    waiting, abandoned = _claimable(now, _beyond(now))
    each = [Job.objects.filter(waiting, queue=queue) for queue in queues]
    each.append(Job.objects.filter(abandoned, queue__in=queues))
    if locks:
        each = [jobs.select_for_update(skip_locked=True) for jobs in each]
    ordered = (jobs.order_by("-priority", "turn", "id").values("pk") for jobs in each)
    return Job.objects.filter(pk__in=[Subquery(jobs[:1]) for jobs in ordered])


@lru_cache(maxsize=256)
def _first_sql(vendor: str, queues: tuple[str, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return the SQL of the head to take first as of ``_THEN``, and its parameters.

    Workers need it each second, and Django would take longer to build it than the database takes to
    run it.
    """
    del vendor  # only part of the key
    heads = _heads(queues, _THEN).order_by("-priority", "turn", "id")
    sql, parameters = heads[:1].query.sql_with_params()
    return sql, tuple(parameters)


@lru_cache(maxsize=256)
def _claim_sql(vendor: str, queues: tuple[str, ...], after: str) -> tuple[str, tuple[Any, ...]]:
    """Return one statement that claims a job as of ``_THEN``, and its parameters.

    One statement instead of a transaction saves three round trips for each job.
    """
    other = Case(When(queue=after, then=0), default=1)
    locks = connection.features.has_select_for_update_skip_locked
    heads = _heads(queues, _THEN, locks=locks).order_by("-priority", "turn", other, "id")
    with transaction.atomic():  # Django refuses to lock outside of one
        head, parameters = heads.values("pk")[:1].query.sql_with_params()
    sql = f"""
        UPDATE registry_job
        SET state = %s, worker = %s, attempt = attempt + 1,
            started_at = COALESCE(started_at, %s), lease_until = %s
        WHERE id = ({head}) RETURNING *
    """  # noqa: S608 - SQL of Django
    return sql, tuple(parameters)


def _job(sql: str, parameters: Iterable[Any]) -> Job | None:
    """Run a statement as of now instead of ``_THEN``, and return its row."""
    written, now = connection.ops.adapt_datetimefield_value, timezone.now()
    moments = {written(_THEN): written(now), written(_beyond(_THEN)): written(_beyond(now))}
    current = [moments.get(one, one) for one in parameters]
    rows = list(Job.objects.using(connection.alias).raw(sql, current))
    return next(iter(rows), None)


def next_queue(queues: Iterable[str]) -> str | None:
    """Return one of these queues that has a claimable job, or None."""
    job = _job(*_first_sql(connection.vendor, tuple(queues)))
    return None if job is None else job.queue


def claim(*queues: str, after: str = "") -> Job | None:
    """Claim the next job of these queues, or return None.

    Urgent jobs come first, in all queues. Among jobs with the same turn, one of the queue that
    this worker served last (``after``) comes first, because it is prepared for them.
    """
    written = connection.ops.adapt_datetimefield_value
    until = written(_lease_end())
    sql, parameters = _claim_sql(connection.vendor, queues, after)
    return _job(sql, (JobState.RUNNING, worker_name(), written(_THEN), until, *parameters))


def _held(job: Job) -> QuerySet[Job]:
    """Return the row of a claimed job while this attempt of this worker holds it."""
    mine = Job.objects.filter(pk=job.pk, state=JobState.RUNNING)
    return mine.filter(worker=job.worker, attempt=job.attempt)


def renew(job: Job) -> bool:
    """Extend the lease; return False if the row no longer belongs to this worker."""
    return _held(job).update(lease_until=_lease_end()) == 1


def finish(
    job: Job,
    *,
    state: JobState,
    reason: str = "",
    retry_after_s: float | None = None,
    is_attempt: bool = True,
) -> bool:
    """End this attempt; return False if another worker has taken the row."""
    changes: dict[str, Any] = {"state": state, "reason": reason, "lease_until": None, "worker": ""}
    if not is_attempt:
        changes["attempt"] = job.attempt - 1
    if retry_after_s is not None:
        pause_s = min(retry_after_s, LONGEST_PAUSE_S)
        changes["run_after"] = timezone.now() + timedelta(seconds=pause_s)
    else:
        changes["finished_at"] = timezone.now()
    return _held(job).update(**changes) == 1


def cancel(key: str) -> None:
    """Stop the open job of a key: immediately if queued, at its next check if running."""
    Job.objects.filter(key=key, state=JobState.RUNNING).update(is_cancel_asked=True)
    Job.objects.filter(key=key, state=JobState.QUEUED).update(
        state=JobState.CANCELLED, finished_at=timezone.now(), is_cancel_asked=True
    )


def forget(*, is_dry: bool = False) -> int:
    """Delete jobs that ended long ago, and return how many."""
    oldest = timezone.now() - KEPT_FOR
    ended = Job.objects.filter(finished_at__lt=oldest).exclude(state__in=OPEN_JOB_STATES)
    if is_dry:
        return ended.count()
    forgotten = 0
    while keys := list(
        ended.order_by("finished_at").values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]
    ):
        ended.filter(pk__in=keys).delete()
        forgotten += len(keys)
    return forgotten


def release_dead() -> int:
    """Release jobs of dead workers on this machine; return their number."""
    running = Job.objects.filter(state=JobState.RUNNING)
    owners = set(running.values_list("worker", flat=True))
    dead = [worker for worker in owners if is_dead(worker)]
    return _free(Job.objects.filter(worker__in=dead, state=JobState.RUNNING))


def release_own() -> int:
    """Release jobs of this process after a graceful stop, which is no attempt; return how many."""
    return _give_back(Job.objects.filter(state=JobState.RUNNING, worker=worker_name()))


def release_all() -> int:
    """Release all running jobs, which no process of this hub runs, without an attempt."""
    return _give_back(Job.objects.filter(state=JobState.RUNNING))


def _give_back(jobs: QuerySet[Job]) -> int:
    jobs.filter(attempt__gt=0).update(attempt=F("attempt") - 1)
    return _free(jobs)


def _free(jobs: QuerySet[Job]) -> int:
    return jobs.update(state=JobState.QUEUED, lease_until=None, worker="")


def _lease_end() -> Any:  # noqa: ANN401 - datetime, which django-stubs types per setting
    return timezone.now() + timedelta(seconds=settings.LORARY.job_lease_s)
