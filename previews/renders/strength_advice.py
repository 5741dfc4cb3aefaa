"""Strength advice: measured on the pictures of a sweep before it is called ready.

``Render.advice`` is the document of ``previews.render.output.strength_advice``; it holds ``method``
alone where the sweep is too small to say anything, and nothing where it could not be measured.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db.models import Q

from previews.models import Render, RenderKind, RenderState
from previews.pictures import services as blobs
from previews.render.output.strength_advice import METHOD, advise
from registry.jobs import queue
from registry.uploads.services import CHECKS_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ADVISE_TASK", "begin_missing", "measure"]

ADVISE_TASK = "advise"
#: Renders without advice by today's rules that are queued when a worker starts.
LOOK = 100

log = logging.getLogger(__name__)


def measure(*, render: Render) -> None:
    """Store what a render's pictures say; those that cannot be read say nothing, and it goes on."""
    if render.kind != RenderKind.PREVIEW:
        return
    try:
        said = advise(_pictures(render))
    except (OSError, ValueError):
        log.exception("no strength advice for render %s", render.pk)
        return
    document = said.to_dict() if said else {"method": METHOD}
    Render.objects.filter(pk=render.pk).update(advice=document)


def _pictures(render: Render) -> Iterator[tuple[tuple[int, int, float], bytes]]:
    for row in render.images.select_related("blob"):
        yield (row.prompt_index, row.seed, row.strength), blobs.bytes_of(row.blob)


def begin_missing() -> None:
    """Queue renders that were measured by older rules or never, the newest first."""
    is_old = ~Q(advice__method=METHOD) | Q(advice__method__isnull=True)
    rows = Render.objects.filter(is_old, kind=RenderKind.PREVIEW, state=RenderState.READY)
    for render_id in rows.order_by("-pk").values_list("pk", flat=True)[:LOOK]:
        queue.enqueue(
            queue=CHECKS_QUEUE,
            task=ADVISE_TASK,
            args={"render_id": render_id},
            key=f"{ADVISE_TASK}:{render_id}",
            priority=queue.RENEWAL,  # people wait for the checks of uploads
        )
