"""Smaller forms of pictures: made by the checks worker, which has time between uploads.

Rendering does not wait for them: pages show the PNG until they are there. A picture that has its
``placeholder`` has been through this; one that has none is looked for when a worker starts.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction

from previews.derived import Unreadable, opened, placeholder, smaller
from previews.models import Derivative, Image
from previews.pictures import services as blobs
from registry.blobs import promote
from registry.jobs import queue
from registry.uploads.services import CHECKS_QUEUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.models import Blob

__all__ = ["DERIVE_TASK", "begin", "begin_missing", "delete_orphans", "derive", "make", "missing"]

DERIVE_TASK = "derive"
#: Pictures a job: seconds of work, for a check may be waiting behind it.
BATCH = 8
#: Pictures without derivatives that are queued when a worker starts.
LOOK = 400

log = logging.getLogger(__name__)


def begin(*, images: Sequence[int]) -> None:
    """Queue pictures, in the transaction that keeps them."""
    for start in range(0, len(images), BATCH):
        ids = images[start : start + BATCH]
        queue.enqueue(
            queue=CHECKS_QUEUE,
            task=DERIVE_TASK,
            args={"image_ids": list(ids)},
            key=f"{DERIVE_TASK}:{ids[0]}-{ids[-1]}",
            priority=queue.RENEWAL,  # people wait for the checks of uploads
        )


def missing(limit: int | None = LOOK) -> list[int]:
    """Return pictures that have not been through this, the newest first."""
    rows = Image.objects.filter(placeholder="", blob__is_stored=True).order_by("-pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def begin_missing() -> None:
    """Queue pictures from before there were derivatives, a bounded number at a time."""
    begin(images=missing())


def derive(*, image: Image) -> None:
    """Make what a picture lacks; one that cannot be read is left as it is.

    Pictures of the same bytes (controls, the same recipe twice) are served by one pass.
    """
    if image.placeholder:
        return
    known = Image.objects.filter(blob=image.blob_id).exclude(placeholder="").first()
    try:
        blur = known.placeholder if known else make(source=image.blob)
    except (FileNotFoundError, Unreadable) as error:
        log.warning("picture %s has no smaller forms: %s", image.pk, error)
        return
    Image.objects.filter(blob=image.blob_id, placeholder="").update(placeholder=blur)


def make(*, source: Blob) -> str:
    """Store the smaller forms of a stored picture and return its placeholder; safe to repeat.

    Raises:
        FileNotFoundError: the bytes are not here.
        Unreadable: they are no picture.
    """
    data = blobs.bytes_of(source)
    picture = opened(data)
    written = [(one, promote.put([one.data])) for one in smaller(picture, len(data))]
    with transaction.atomic():
        for one, stored in written:
            Derivative.objects.get_or_create(
                source=source,
                kind=one.kind,
                width=one.width,
                defaults={"height": one.height, "blob": promote.arrived(stored)},
            )
    return placeholder(picture)


def delete_orphans() -> int:
    """Let go of forms whose picture is no longer stored, for the sweeper; returns how many."""
    dropped, _by_model = Derivative.objects.filter(source__is_stored=False).delete()
    return dropped
