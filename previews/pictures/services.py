"""Stores and reads rendered pictures, and those at strength 0 that all adapters share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from previews.models import Control
from previews.render.pictures import Film, Picture
from previews.render.recipe import Shot
from registry import storage
from registry.blobs import promote
from registry.errors import Invalid
from registry.models import Maturity


def checked_rating(maturity: str) -> str:
    """Return a valid rating for a single picture; "" means that of its adapter.

    Raises:
        Invalid: the rating does not exist.
    """
    if maturity and maturity not in Maturity.values:
        text = _("The content rating must be one of: %(all)s.")
        sentence = text % {"all": ", ".join(Maturity.values)}
        raise Invalid(sentence, fields={"maturity": [sentence]})
    return maturity


#: A control is shared, so it has no position or prompt of its own.
_ANY_SHOT = Shot(position=0, prompt_index=0, prompt="", seed=0, strength=0.0)


def store(picture: Picture) -> Callable[[], dict[str, Any]]:
    """Store the bytes of a picture.

    Call it outside of any transaction. Call what it returns in the transaction that writes the
    row: it returns the columns for blob, size and video.
    """
    film = picture.film
    moving = promote.put([film.data]) if film else None
    still = promote.put([picture.png])
    about = (film.media_type, film.frames, film.fps) if film else ("image/png", 1, 0)
    return lambda: {
        "blob": promote.mark_stored(still),
        "animation": promote.mark_stored(moving) if moving else None,
        "width": picture.width,
        "height": picture.height,
        **dict(zip(("media_type", "frames", "fps"), about, strict=True)),
    }


def bytes_of(sha256: str) -> bytes:
    """Return the bytes of the picture with a digest.

    Raises:
        FileNotFoundError: the store does not have them.
    """
    with storage.store().open(sha256) as stream:
        return stream.read()


class StoredControls:
    """Implements ``previews.render.pictures.Controls`` with rows and the store."""

    def find(self, keys: Collection[str]) -> Mapping[str, Picture]:
        """Return the pictures whose bytes are stored; the engine renders and adds the others."""
        found: dict[str, Picture] = {}
        for row in Control.objects.filter(key__in=keys).select_related("blob", "animation"):
            blobs = [blob for blob in (row.blob, row.animation) if blob is not None]
            if all(blob.is_stored for blob in blobs):
                try:
                    png, *film = (bytes_of(blob.sha256) for blob in blobs)
                    found[row.key] = Picture(
                        _ANY_SHOT, row.width, row.height, png,
                        Film(film[0], row.media_type, row.frames, row.fps) if film else None,
                    )  # fmt: skip
                except FileNotFoundError:
                    continue
        return found

    def add(self, pictures: Mapping[str, Picture]) -> None:
        """Store pictures; if several workers add the same one, the last one is kept."""
        for key, picture in pictures.items():
            columns = store(picture)
            with transaction.atomic():
                Control.objects.update_or_create(key=key, defaults=columns())
