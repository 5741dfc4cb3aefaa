"""Rendered pictures in the store, and the pictures at strength 0 that all adapters share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction

from previews.models import Control
from previews.render.pictures import Picture
from previews.render.recipe import Shot
from registry import storage
from registry.blobs import promote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from registry.models import Blob
    from registry.storage import Written

__all__ = ["Kept", "StoredControls", "bytes_of", "kept"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A rendered picture whose bytes are in the store; ``moving`` is a video's animation."""

    picture: Picture
    still: Written
    moving: Written | None

    def columns(self) -> dict[str, Any]:
        """Return what rows say of it, for the transaction that writes one."""
        return {
            "blob": promote.arrived(self.still),
            "animation": promote.arrived(self.moving) if self.moving else None,
            "width": self.picture.width,
            "height": self.picture.height,
        }


def kept(picture: Picture) -> Kept:
    """Store a picture's bytes, before and outside of any transaction."""
    moving = promote.put([picture.animation]) if picture.animation else None
    return Kept(picture, promote.put([picture.png]), moving)


def bytes_of(blob: Blob) -> bytes:
    """Return the bytes of a picture.

    Raises:
        FileNotFoundError: the store does not have them.
    """
    with storage.store().open(blob.sha256) as stream:
        return stream.read()


#: Every render has places and prompts of its own for a control, so none are kept with it.
_ANY = Shot(position=0, prompt_index=0, prompt="", seed=0, strength=0.0)


class StoredControls:
    """``previews.render.pictures.Controls`` over the rows and the store."""

    def find(self, keys: Collection[str]) -> Mapping[str, Picture]:
        """Return those whose bytes are here."""
        return dict(self._found(keys))

    def _found(self, keys: Collection[str]) -> Iterator[tuple[str, Picture]]:
        rows = Control.objects.filter(key__in=keys).select_related("blob", "animation")
        for row in rows:
            try:
                still, moving = _bytes_of(row.blob), _bytes_of(row.animation)
            except FileNotFoundError:
                continue  # it is rendered again, and added
            yield row.key, Picture(_ANY, row.width, row.height, still, moving)

    def add(self, pictures: Mapping[str, Picture]) -> None:
        """Keep pictures; of those that several workers add at once, the last."""
        for key, picture in pictures.items():
            stored = kept(picture)
            with transaction.atomic():
                Control.objects.update_or_create(key=key, defaults=stored.columns())


def _bytes_of(blob: Blob | None) -> bytes:
    """Return the bytes, none of nothing.

    Raises:
        FileNotFoundError: they were removed.
    """
    if blob is None:
        return b""
    if not blob.is_stored:
        raise FileNotFoundError(blob.sha256)
    return bytes_of(blob)
