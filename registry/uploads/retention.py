"""Expires uploads that were not used in time, and deletes old rows; called by the sweeper.

Every upload leaves a row, its findings and its job, even if it was soon cancelled. They are kept
for ``LORARY_UPLOAD_LOG_DAYS``, so that users can read how the upload ended. After that a row stays
only while its bytes are stored: its findings are shown with every file that has these bytes, the
bytes count against the uploader's quota, and the uploader may use them again. If a user has several
rows for the same bytes, only the last one is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from registry import locks, storage
from registry.blobs.selectors import kept_for_owner
from registry.errors import Conflict
from registry.models import OPEN_JOB_STATES, Finding, Job, Upload, UploadState
from registry.uploads import receive
from registry.uploads.services import CHECK_TASK

#: Number of rows per transaction, which blocks other writers on SQLite.
BATCH = 500


def forget(*, is_dry: bool = False) -> int:
    """Delete old uploads with their findings and jobs; return how many.

    Args:
        is_dry: Only count the uploads.
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
        jobs.exclude(state__in=OPEN_JOB_STATES).delete()
    return removed.get(Upload._meta.label, 0)  # noqa: SLF001 - Django's documented API


def _forgettable() -> QuerySet[Upload]:
    """Return old uploads that have ended and whose bytes are deleted or belong to a later row."""
    days = max(settings.LORARY.upload_log_days, settings.LORARY.upload_days)
    decided = Upload.objects.exclude(state__in=[UploadState.RECEIVING, UploadState.CHECKING])
    has_findings = Finding.objects.filter(upload=OuterRef("pk"), blob=OuterRef("blob"))
    later = _later()
    is_deleted = Q(blob=None) | Q(blob__is_stored=False)
    is_repeated = Exists(later.filter(findings__blob=OuterRef("blob")))
    has_none = Exists(later) & ~Exists(has_findings)
    return decided.filter(
        is_deleted | is_repeated | has_none, updated_at__lt=timezone.now() - timedelta(days=days)
    )


def _later() -> QuerySet[Upload]:
    """Return later uploads of the same bytes by the same user, which replace an upload.

    An accepted upload lets its owner use the bytes again; a cancelled one, only cancelled ones.
    """
    order = Q(updated_at__gt=OuterRef("updated_at"))
    order |= Q(updated_at=OuterRef("updated_at"), pk__gt=OuterRef("pk"))
    is_good = Q(state=UploadState.ACCEPTED) | Q(state=OuterRef("state"))
    return Upload.objects.filter(order, is_good, owner=OuterRef("owner"), blob=OuterRef("blob"))


def expire(*, is_dry: bool = False) -> list[storage.Usage]:
    """Expire unfinished uploads past their deadline; return the stored files and bytes of each.

    A locked upload is left to the next sweep, because a body that began in time may end late.

    Args:
        is_dry: Change nothing.
    """
    stale = Upload.objects.filter(state=UploadState.RECEIVING, expires_at__lt=timezone.now())
    expired = []
    for upload in stale:
        with suppress(Conflict), locks.holding(upload.storage_key, wait_s=0):
            usage = storage.usage_of(upload.storage_key)
            if is_dry or _end(upload):
                expired.append(usage)
    return expired


def expire_unpublished(*, is_dry: bool = False) -> int:
    """Expire accepted uploads that their owners did not publish in time; return how many.

    The owner has to send the bytes again, even if they stay because somebody else uses them.

    Args:
        is_dry: Only count the uploads.
    """
    oldest = timezone.now() - timedelta(days=settings.LORARY.upload_days)
    late = Upload.objects.filter(
        ~Exists(kept_for_owner()),
        state=UploadState.ACCEPTED,
        updated_at__lt=oldest,
    )
    return late.count() if is_dry else late.update(state=UploadState.EXPIRED)


def _end(upload: Upload) -> bool:
    """Expire an upload whose lock is held; return whether it was still open."""
    mine = Upload.objects.filter(
        pk=upload.pk, state=UploadState.RECEIVING, storage_key=upload.storage_key
    )
    if not mine.update(state=UploadState.EXPIRED, updated_at=timezone.now()):
        return False
    receive.discard(upload)
    return True
