"""Celery's side of the queue: wake-ups come in here, jobs are read from the database."""

from __future__ import annotations

from celery import shared_task

from registry import worker
from registry.models import Job, Upload
from registry.queue import WAKE, JobRun, handler
from registry.services import judging, uploads

__all__ = ["check_upload", "wake"]


@shared_task(name=WAKE, ignore_result=True)
def wake(queue: str) -> None:
    """Do everything that is claimable in a queue, whatever the message was sent for."""
    worker.wake(queue)


def _check_failed(job: Job) -> None:
    judging.fail_check(upload=Upload.objects.get(pk=job.args["upload_id"]), reason=job.reason)


@handler(uploads.CHECK_TASK, on_failed=_check_failed)
def check_upload(run: JobRun) -> None:
    """Run the deep checks of an upload and accept or refuse it."""
    upload = Upload.objects.get(pk=run.args["upload_id"])
    judging.judge(upload=upload, progress=run.progress)
