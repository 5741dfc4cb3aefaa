"""Celery tasks: messages only wake workers, which read jobs from the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from celery import Task, shared_task
from celery.worker import request
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from registry.comparisons import computing
from registry.confined import running
from registry.derived import making, on_demand
from registry.errors import Conflict, StorageAway, StorageFull
from registry.jobs import worker_process
from registry.jobs.queue import WAKE, Fail, JobRun, Retry, handler
from registry.models import DerivedFile, Job, Upload, VersionComparison
from registry.models.derived import OnDemand
from registry.uploads import check
from registry.uploads import services as uploads

#: Errors of the hub, not of the file: the database is busy or unreachable, another process holds
#: the lock, the storage is full or does not answer.
HUB_ERRORS = (
    OperationalError,
    InterfaceError,
    Conflict,
    StorageFull,
    StorageAway,
    ConnectionError,
    TimeoutError,
)

#: Seconds between two attempts after such an error, and how long they do not count as attempts.
RETRY_S, PATIENCE = 15.0, timedelta(days=1)

#: Time limit of the checks of a file: this, plus one second per this number of bytes.
MIN_LIMIT_S, BYTES_PER_S = 300.0, 1024 * 1024

#: Seconds between two updates of the progress.
STRIDE_S = 1.0


class OutOfTimeError(Exception):
    """The checks exceeded their time limit."""


class Request(request.Request):
    """A message whose failed acknowledgement is an error.

    Celery's own class logs the error and continues. The message then counts as unacknowledged
    forever, and a worker that takes one message at a time requests no other from Redis: it doesn't
    notice the lost connection, and gets no messages after the broker returns.
    """

    def acknowledge(self) -> None:
        """Acknowledge once. After a connection error, Celery opens a new connection.

        Raises:
            kombu's connection and channel errors: the broker is gone. It sends the wake-up again or
            has lost it; the job is in the database.
        """
        if not self.acknowledged:
            self.message.ack()
            self.acknowledged = True


class WakeUp(Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """The task that wakes workers."""

    Request = f"{__name__}:Request"


@shared_task(name=WAKE, base=WakeUp, ignore_result=True)
def wake(queue: str) -> None:
    """Run all claimable jobs of a queue, whatever the message was sent for."""
    worker_process.wake(queue)


def _upload(job: Job) -> Upload:
    return Upload.objects.get(pk=job.args["upload_id"])


def _check_failed(job: Job) -> None:
    upload = Upload.objects.filter(pk=job.args["upload_id"]).first()
    if upload is not None:  # deleted with its owner
        check.fail_check(upload=upload, reason=job.reason)


def _limit_s(job: Job) -> float:
    return MIN_LIMIT_S + _upload(job).size_bytes / BYTES_PER_S


class _Watch:
    """Saves the progress of the checks, and stops them after the time limit or a cancellation."""

    def __init__(self, run: JobRun, limit_s: float) -> None:
        self.run = run
        self.until = time.monotonic() + limit_s
        self.next_note = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now > self.until:
            message = f"{done} of {total} bytes were read within the time limit"
            raise OutOfTimeError(message)
        if now >= self.next_note or done == total:
            self.next_note = now + STRIDE_S
            self.run.check_cancelled()
            self.run.progress(done, total)


@handler(
    uploads.CHECK_TASK,
    on_failed=_check_failed,
    transient=(FileNotFoundError, OutOfTimeError),
    limit_s=_limit_s,
)
def check_upload(run: JobRun) -> None:
    """Run the deep checks of an upload and accept or refuse it.

    Raises:
        Retry: an error of the hub; counts as an attempt only after a day.
        FileNotFoundError, OutOfTimeError: retried a few times.
        Cancelled: the upload was cancelled.
    """
    with _patience(run.job):
        check.run_checks(upload=_upload(run.job), progress=_Watch(run, _limit_s(run.job)))


@contextmanager
def _patience(job: Job) -> Iterator[None]:
    """Turn errors of the hub into retries, which count as attempts only after a day."""
    try:
        yield
    except HUB_ERRORS as error:
        is_long = timezone.now() - job.created_at > PATIENCE
        reason = f"{type(error).__name__}: {error}"
        raise Retry(reason, after_s=RETRY_S, is_attempt=is_long) from error


@contextmanager
def _telling(job: Job, fail: Callable[..., None]) -> Iterator[None]:
    """Be patient with errors of the hub, and store the reason of others, a text for users."""
    try:
        with _patience(job):
            yield
    except Fail as error:
        fail(reason=str(error))
        raise


def _work_failed(find: Callable[[Job], OnDemand | None], job: Job) -> None:
    """Mark a row as failed, unless it has its reason; that of the job may name paths."""
    if row := find(job):
        on_demand.fail(row=row, reason=running.failed_text())


def _derived(job: Job) -> DerivedFile | None:
    rows = DerivedFile.objects.select_related("source")
    return rows.filter(pk=job.args["derived_id"]).first()


def _making_limit_s(job: Job) -> float:
    row = _derived(job)
    return 2 * making.limit_s(row) if row else MIN_LIMIT_S  # it is stored after it is made


@handler(
    DerivedFile.task,
    on_failed=partial(_work_failed, _derived),
    transient=(FileNotFoundError,),
    limit_s=_making_limit_s,
)
def make_derived_file(run: JobRun) -> None:
    """Make a file in another naming or of a smaller rank; does nothing if it was removed.

    Raises:
        Retry: an error of the hub; counts as an attempt only after a day.
        FileNotFoundError: retried a few times.
        Fail, Cancelled: it cannot be made; the job was cancelled.
    """
    if row := _derived(run.job):
        with _telling(run.job, partial(on_demand.fail, row=row)):
            making.make(row=row, progress=_Note(run))


def _comparison(job: Job) -> VersionComparison | None:
    rows = VersionComparison.objects.select_related(
        "first__adapter__namespace", "first__revision",
        "second__adapter__namespace", "second__revision",
    )  # fmt: skip
    return rows.filter(pk=job.args["comparison_id"]).first()


def _comparing_limit_s(job: Job) -> float:
    row = _comparison(job)
    return MIN_LIMIT_S + computing.limit_s(row) if row else MIN_LIMIT_S


@handler(
    VersionComparison.task,
    on_failed=partial(_work_failed, _comparison),
    transient=(FileNotFoundError,),
    limit_s=_comparing_limit_s,
)
def compare_versions(run: JobRun) -> None:
    """Compare the weights of two versions; does nothing if the comparison was removed.

    Raises:
        Retry: an error of the hub; counts as an attempt only after a day.
        FileNotFoundError: retried a few times.
        Fail, Cancelled: it cannot be computed; the job was cancelled.
    """
    if row := _comparison(run.job):
        with _telling(run.job, partial(on_demand.fail, row=row)):
            computing.compute(row=row, progress=_Note(run))


class _Note:
    """Saves the progress of work in steps, and stops it after a cancellation."""

    def __init__(self, run: JobRun) -> None:
        self.run, self.noted, self.next_look = run, (0, 0), 0.0

    def __call__(self, done: int, total: int) -> None:
        if (done, total) != self.noted:
            self.noted = done, total
            self.run.progress(done, total)
        if time.monotonic() >= self.next_look:
            self.next_look = time.monotonic() + STRIDE_S
            self.run.check_cancelled()
