"""Ending uploads that nobody finishes; the sweeper does it."""

from __future__ import annotations

from django.utils import timezone

from registry import storage
from registry.models import Upload, UploadState

__all__ = ["expire"]


def expire(*, is_dry: bool = False) -> list[storage.Heap]:
    """Drop what nobody finished in time; returns what the store had of each upload.

    Args:
        is_dry: Only look.
    """
    stale = Upload.objects.filter(state=UploadState.RECEIVING, expires_at__lt=timezone.now())
    went = []
    for upload in stale:
        heap = storage.heap(upload.storage_key)
        if is_dry:
            went.append(heap)
            continue
        mine = Upload.objects.filter(pk=upload.pk, state=UploadState.RECEIVING)
        if mine.update(state=UploadState.EXPIRED):
            storage.discard(upload.storage_key)
            went.append(heap)
    return went
