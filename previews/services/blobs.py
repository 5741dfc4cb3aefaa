"""Bytes that the previews made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry import storage
from registry.blobs import promote

if TYPE_CHECKING:
    from previews.render.progress import Picture
    from registry.models import Blob
    from registry.storage import Written

__all__ = ["Kept", "bytes_of", "kept", "row_of"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A rendered picture whose bytes are in the store; ``moving`` is a video's animation."""

    picture: Picture
    still: Written
    moving: Written | None

    def columns(self) -> dict[str, Any]:
        """Return what rows say of it, for the transaction that writes one."""
        return {
            "blob": row_of(self.still),
            "animation": row_of(self.moving) if self.moving else None,
            "width": self.picture.width,
            "height": self.picture.height,
        }


def kept(picture: Picture) -> Kept:
    """Store a picture's bytes, before and outside of any transaction."""
    moving = promote.put([picture.animation]) if picture.animation else None
    return Kept(picture, promote.put([picture.png]), moving)


def row_of(written: Written) -> Blob:
    """Return the row of bytes that were just put, for the transaction that refers to it."""
    return promote.arrived(written)


def bytes_of(blob: Blob) -> bytes:
    """Return the bytes of a picture.

    Raises:
        FileNotFoundError: the store does not have them.
    """
    with storage.store().open(blob.sha256) as stream:
        return stream.read()
