"""Forgetting uploads that are long decided; the sweeper does it.

Each upload leaves a row, its findings and its job, also one that was cancelled at once. They stay
for ``LORARY_UPLOAD_LOG_DAYS``, so that people find out what became of it. After that a row stays
only while its bytes are here: what was found about them is shown with every file that has them,
they count against the quota of who sent them, and who sent them may use them again. Of several rows
of one person about the same bytes the last one is enough.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from registry.models import Finding, Job, JobState, Upload, UploadState
from registry.uploads.services import CHECK_TASK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet

#: Rows of one transaction: others wait for it on SQLite.
BATCH = 500


def forget(*, is_dry: bool = False) -> int:
    """Remove uploads that nobody needs any more, with all rows about them; returns how many.

    Args:
        is_dry: Only count.
    """
    rows = _forgettable()
    if is_dry:
        return rows.count()
    count = last = 0
    while ids := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        count += _remove(rows, ids)
        last = ids[-1]
    return count


def _remove(rows: QuerySet[Upload], ids: Sequence[int]) -> int:
    jobs = Job.objects.filter(key__in=[f"{CHECK_TASK}:{pk}" for pk in ids])
    with transaction.atomic():
        _all, removed = rows.filter(pk__in=ids).delete()
        jobs.exclude(state__in=[JobState.QUEUED, JobState.RUNNING]).delete()
    return removed.get(Upload._meta.label, 0)  # noqa: SLF001 - Django's documented API


def _forgettable() -> QuerySet[Upload]:
    """Return uploads that are decided, old, and without bytes or not the last word on them."""
    days = max(settings.LORARY.upload_log_days, settings.LORARY.upload_days)  # these keep bytes
    decided = Upload.objects.exclude(state__in=[UploadState.RECEIVING, UploadState.CHECKING])
    telling = Finding.objects.filter(upload=OuterRef("pk"), blob=OuterRef("blob"))
    later = _later()
    is_gone = Q(blob=None) | Q(blob__is_stored=False)
    is_repeated = Exists(later.filter(findings__blob=OuterRef("blob")))
    is_silent = Exists(later) & ~Exists(telling)
    return decided.filter(
        is_gone | is_repeated | is_silent, updated_at__lt=timezone.now() - timedelta(days=days)
    )


def _later() -> QuerySet[Upload]:
    """Return what stands for an upload: a later one of the same person and the same bytes.

    Accepted ones let their owner use the bytes again; cancelled ones only stand for each other.
    """
    order = Q(updated_at__gt=OuterRef("updated_at"))
    order |= Q(updated_at=OuterRef("updated_at"), pk__gt=OuterRef("pk"))
    is_good = Q(state=UploadState.ACCEPTED) | Q(state=OuterRef("state"))
    return Upload.objects.filter(order, is_good, owner=OuterRef("owner"), blob=OuterRef("blob"))
