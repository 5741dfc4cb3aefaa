"""Expires uploads that were not finished or not published in time; called by the sweeper."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db.models import Exists
from django.utils import timezone

from registry import locks, storage
from registry.blobs.selectors import kept_for_owner
from registry.errors import Conflict
from registry.models import Upload, UploadState
from registry.uploads import endings


def expire(*, is_dry: bool = False) -> list[storage.Usage]:
    """Expire unfinished uploads past their deadline; return what the store had of each.

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
        is_dry: Only count.
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
    endings.discard(upload)
    return True
