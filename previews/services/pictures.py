"""Finished pictures: stored, never twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from previews.models import Image, Render, RenderState
from previews.services import blobs, derivatives

if TYPE_CHECKING:
    from collections.abc import Sequence

    from previews.render.progress import Picture

__all__ = ["keep", "reuse"]


def keep(*, render: Render, pictures: Sequence[Picture]) -> None:
    """Store finished pictures, videos with their animation; those that are there stay as they are.

    Their smaller forms are made by somebody else: rendering goes on.

    Bytes first, rows after, all rows of a call in one transaction: a worker killed in between
    leaves bytes that the sweeper finds, and no picture twice.
    """
    written = [(picture.shot, blobs.kept(picture)) for picture in pictures]
    with transaction.atomic():
        images = []
        for shot, kept in written:
            image, _is_new = Image.objects.get_or_create(
                render=render,
                prompt_index=shot.prompt_index,
                seed=shot.seed,
                strength=shot.strength,
                defaults={**kept.columns(), "position": shot.position, "prompt": shot.prompt},
            )
            images.append(image.pk)
        derivatives.begin(images=images)


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
