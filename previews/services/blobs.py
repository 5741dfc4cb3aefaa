"""Bytes that the previews made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.models import Blob

if TYPE_CHECKING:
    from registry.storage import Written

__all__ = ["row_of"]


def row_of(written: Written) -> Blob:
    """Return the row of bytes that were just written, for the transaction that refers to it.

    Bytes that the sweeper had let go of are here again.
    """
    blob, is_new = Blob.objects.get_or_create(
        sha256=written.sha256, defaults={"size_bytes": written.size}
    )
    if not is_new:
        Blob.objects.filter(pk=blob.pk).update(is_stored=True, unreferenced_since=None)
    return blob
