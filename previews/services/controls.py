"""Pictures of bases alone, kept for the sweeps of all adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from previews.models import Control
from previews.render.progress import Picture
from previews.render.recipe import Shot
from previews.services import blobs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from registry.models import Blob

__all__ = ["StoredControls"]

#: Every render has places and prompts of its own for a control, so none are kept with it.
_ANY = Shot(position=0, prompt_index=0, prompt="", seed=0, strength=0.0)


class StoredControls:
    """``previews.render.controls.Controls`` over the rows and the store."""

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
            kept = blobs.kept(picture)
            with transaction.atomic():
                Control.objects.update_or_create(key=key, defaults=kept.columns())


def _bytes_of(blob: Blob | None) -> bytes:
    """Return the bytes, none of nothing.

    Raises:
        FileNotFoundError: they were removed.
    """
    if blob is None:
        return b""
    if not blob.is_stored:
        raise FileNotFoundError(blob.sha256)
    return blobs.bytes_of(blob)
