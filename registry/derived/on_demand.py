"""Work on rows that are computed on demand: their jobs and ends, and the use of their results."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from registry.jobs import queue
from registry.models import DerivedState, Job
from registry.models.derived import OnDemand
from registry.uploads.services import CHECKS_QUEUE

HOUR_S = 3600
#: Rows of a kind, of the whole hub, that wait or are being computed.
MOST_QUEUED = 100
#: The job of a queued row is queued again at most this often.
ENQUEUE = timedelta(minutes=1)
#: A use is written at most this often.
USE = timedelta(hours=12)


def enqueue(row: OnDemand, owner: str) -> None:
    """Queue the work; checks of uploads come first on the same queue."""
    queue.enqueue(
        queue=CHECKS_QUEUE,
        task=row.task,
        args={row.argument: row.pk},
        key=row.job_key,
        priority=queue.VISITOR,
        owner=owner,
    )


def enqueue_again(row: OnDemand, owner: str) -> None:
    """Queue the work again if its job was cancelled a while ago; clients ask every second."""
    now = timezone.now()
    if row.used_at > now - ENQUEUE:
        return
    if not Job.objects.filter(key=row.job_key, finished_at__gt=now - ENQUEUE).exists():
        row.stored().update(used_at=now)
        enqueue(row, owner)


def used(row: OnDemand) -> None:
    """Note that a result is used, so that it is kept."""
    now = timezone.now()
    row.stored().filter(used_at__lt=now - USE).update(used_at=now)


def end(row: OnDemand, **values: object) -> None:
    """Store how the work on a queued row ended."""
    row.stored().filter(state=DerivedState.QUEUED).update(**values)


def fail(*, row: OnDemand, reason: str) -> None:
    """Mark a row as failed; a later request computes it again."""
    end(row, state=DerivedState.FAILED, reason=reason)


def refuse(row: OnDemand, outcome: dict[str, str]) -> None:
    """Mark a row as refused by the process that worked on it."""
    reason = outcome["reason"]
    end(row, state=DerivedState.REFUSED, refusal=outcome["refused"], reason=reason)
