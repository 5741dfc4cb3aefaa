"""Ending uploads that nobody finishes or publishes; the sweeper does it."""

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
    """Drop what nobody finished in time; returns what the store had of each upload.

    One whose lock is held is left to the next sweep: a body that began in time may end.

    Args:
        is_dry: Only look.
    """
    stale = Upload.objects.filter(state=UploadState.RECEIVING, expires_at__lt=timezone.now())
    went = []
    for upload in stale:
        with suppress(Conflict), locks.holding(upload.storage_key, wait_s=0):
            heap = storage.usage_of(upload.storage_key)
            if is_dry or _end(upload):
                went.append(heap)
    return went


def lapse(*, is_dry: bool = False) -> int:
    """End accepted uploads that their owners published nowhere in time; returns how many.

    Their bytes are no longer kept for them. That somebody else has the same bytes, which therefore
    stay, makes no difference: the owner has to send them again.

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
    """End an upload at whose bytes nobody is; whether it was still open."""
    mine = Upload.objects.filter(
        pk=upload.pk, state=UploadState.RECEIVING, storage_key=upload.storage_key
    )
    if not mine.update(state=UploadState.EXPIRED, updated_at=timezone.now()):
        return False
    endings.discard(upload)
    return True
