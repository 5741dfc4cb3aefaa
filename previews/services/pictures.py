"""Finished pictures: stored, never twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from previews.models import Image, Render, RenderState
from previews.services import blobs, derivatives
from registry import storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from previews.render.watch import Picture

__all__ = ["keep", "reuse"]


def keep(*, render: Render, pictures: Sequence[Picture]) -> None:
    """Store finished pictures, videos with their animation; those that are there stay as they are.

    Their smaller forms are made by somebody else: rendering goes on.

    Bytes first, rows after, all rows of a call in one transaction: a worker killed in between
    leaves bytes that the sweeper finds, and no picture twice.
    """
    written = [
        (
            picture,
            storage.put([picture.png]),
            storage.put([picture.animation]) if picture.animation else None,
        )
        for picture in pictures
    ]
    with transaction.atomic():
        kept = []
        for picture, still, moving in written:
            image, _is_new = Image.objects.get_or_create(
                render=render,
                prompt_index=picture.shot.prompt_index,
                seed=picture.shot.seed,
                strength=picture.shot.strength,
                defaults={
                    "blob": blobs.row_of(still),
                    "animation": blobs.row_of(moving) if moving else None,
                    "position": picture.shot.position,
                    "prompt": picture.shot.prompt,
                    "width": picture.width,
                    "height": picture.height,
                },
            )
            kept.append(image.pk)
        derivatives.begin(images=kept)


def reuse(*, render: Render) -> None:
    """Give a new render of a version all pictures of an earlier one by the same recipe and words.

    So the way back to a recipe of before costs nothing.
    """
    earlier = Render.objects.filter(
        version=render.version,
        recipe=render.recipe,
        trigger_words=render.trigger_words,
        state=RenderState.READY,
    ).first()
    if earlier is None or earlier.images.filter(blob__is_stored=False).exists():
        return
    images = list(earlier.images.all())
    for image in images:
        image.pk, image.render = None, render
    Image.objects.bulk_create(images, ignore_conflicts=True)
