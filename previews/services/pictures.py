"""Finished pictures: stored, never twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from previews.models import Image
from registry import storage
from registry.models import Blob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from previews.models import Render
    from previews.render.engine import Picture

__all__ = ["keep"]


def keep(*, render: Render, pictures: Sequence[Picture]) -> None:
    """Store finished pictures; those that are there already stay as they are.

    Bytes first, rows after, all rows of a call in one transaction: a worker killed in between
    leaves bytes that the sweeper finds, and no picture twice.
    """
    written = [(picture, storage.put([picture.png])) for picture in pictures]
    with transaction.atomic():
        for picture, stored in written:
            blob, created = Blob.objects.get_or_create(
                sha256=stored.sha256, defaults={"size_bytes": stored.size}
            )
            if not created:
                Blob.objects.filter(pk=blob.pk).update(is_stored=True, unreferenced_since=None)
            Image.objects.get_or_create(
                render=render,
                prompt_index=picture.shot.prompt_index,
                seed=picture.shot.seed,
                strength=picture.shot.strength,
                defaults={
                    "blob": blob,
                    "position": picture.shot.position,
                    "prompt": picture.shot.prompt,
                    "width": picture.width,
                    "height": picture.height,
                },
            )
