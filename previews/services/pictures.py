"""Finished pictures: stored, never twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from previews.models import Image
from previews.services import blobs, derivatives
from registry import storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from previews.models import Render
    from previews.render.watch import Picture

__all__ = ["keep"]


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
