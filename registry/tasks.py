"""Celery's side of the queue: wake-ups come in here, jobs are read from the database."""

from __future__ import annotations

import time
from datetime import timedelta

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from registry.errors import Conflict, StorageAway, StorageFull
from registry.jobs import worker_process
from registry.jobs.celery_ack import WakeUp
from registry.jobs.queue import WAKE, JobRun, Retry, handler
from registry.models import Job, Upload
from registry.uploads import check
from registry.uploads import services as uploads

#: Troubles of the house, not of the file: the database is busy or away, another process holds the
#: digest, the storage is full or does not answer.
AWAY = (
    OperationalError,
    InterfaceError,
    Conflict,
    StorageFull,
    StorageAway,
    ConnectionError,
    TimeoutError,
)

#: Seconds between two tries while something is away, and for how long that is no attempt.
AWAY_S, PATIENCE = 15.0, timedelta(days=1)

#: Time that checking a file may take: this and a second for each of so many bytes.
LEAST_S, SLOWEST_BYTES = 300.0, 1024 * 1024

#: Seconds between two notes of how far it is.
STRIDE_S = 1.0


class OutOfTimeError(Exception):
    """The checks took longer than they may."""


@shared_task(name=WAKE, base=WakeUp, ignore_result=True)
def wake(queue: str) -> None:
    """Do everything that is claimable in a queue, whatever the message was sent for."""
    worker_process.wake(queue)


def _upload(job: Job) -> Upload:
    return Upload.objects.get(pk=job.args["upload_id"])


def _check_failed(job: Job) -> None:
    upload = Upload.objects.filter(pk=job.args["upload_id"]).first()
    if upload is not None:  # gone with its owner
        check.fail_check(upload=upload, reason=job.reason)


def _limit_s(job: Job) -> float:
    return LEAST_S + _upload(job).size_bytes / SLOWEST_BYTES


class _Watch:
    """Notes how far the checks are, and ends them when they are too slow or nobody wants them."""

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
        Retry: something is away; that counts as an attempt only after a day of it.
        FileNotFoundError, OutOfTimeError: tried again a few times.
        Cancelled: the upload was cancelled.
    """
    try:
        check.run_checks(upload=_upload(run.job), progress=_Watch(run, _limit_s(run.job)))
    except AWAY as trouble:
        is_long = timezone.now() - run.job.created_at > PATIENCE
        reason = f"{type(trouble).__name__}: {trouble}"
        raise Retry(reason, after_s=AWAY_S, is_attempt=is_long) from trouble
