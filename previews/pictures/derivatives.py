"""Makes smaller forms of pictures, in the checks worker between uploads.

Rendering does not wait for them: pages show the PNG until they exist. A picture that has been
processed has a ``placeholder``; workers look for the others when they start.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db import transaction

from previews.derived import Unreadable, opened, placeholder, smaller
from previews.models import Derivative, Image
from previews.pictures import services as pictures
from registry.blobs import promote
from registry.jobs import queue
from registry.models import Blob
from registry.uploads.services import CHECKS_QUEUE

DERIVE_TASK = "derive"
#: Pictures in a job. It takes seconds, so that a check waits no longer.
BATCH = 8
#: Most pictures without derivatives that are queued when a worker starts.
MAX_MISSING = 400

log = logging.getLogger(__name__)


def begin(*, images: Sequence[int]) -> None:
    """Queue pictures, in the transaction that stores them."""
    for start in range(0, len(images), BATCH):
        ids = images[start : start + BATCH]
        queue.enqueue(
            queue=CHECKS_QUEUE,
            task=DERIVE_TASK,
            args={"image_ids": list(ids)},
            key=f"{DERIVE_TASK}:{ids[0]}-{ids[-1]}",
            priority=queue.RENEWAL,  # users wait for the checks of uploads
        )


def missing(limit: int | None = MAX_MISSING) -> list[int]:
    """Return the ids of pictures that were not processed, newest first."""
    rows = Image.objects.filter(placeholder="", blob__is_stored=True).order_by("-pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def begin_missing() -> None:
    """Queue the newest pictures that were not processed."""
    begin(images=missing())


def derive(*, image: Image) -> None:
    """Make the smaller forms of a picture, once for all pictures with the same bytes.

    A picture that cannot be read is left as it is.
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
    """Store the smaller forms of a picture and return its placeholder; safe to repeat.

    Raises:
        FileNotFoundError: the store does not have the bytes.
        Unreadable: they are not a picture.
    """
    data = pictures.bytes_of(source)
    picture = opened(data)
    written = [(one, promote.put([one.data])) for one in smaller(picture, len(data))]
    with transaction.atomic():
        for one, stored in written:
            Derivative.objects.get_or_create(
                source=source,
                kind=one.kind,
                width=one.width,
                defaults={"height": one.height, "blob": promote.mark_stored(stored)},
            )
    return placeholder(picture)


def delete_orphans() -> int:
    """Delete forms whose picture is no longer stored; return how many."""
    deleted, _by_model = Derivative.objects.filter(source__is_stored=False).delete()
    return deleted
