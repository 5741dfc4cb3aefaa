"""Measures the pictures of a sweep for strength advice, before the render is ready.

``Render.advice`` is the document of ``previews.render.output.strength_advice``. It has only
``method`` if the sweep is too small for advice, and is empty if it could not be measured.
"""

from __future__ import annotations

import logging

from django.db.models import Q

from previews.models import Render, RenderKind, RenderState
from previews.pictures.services import bytes_of
from previews.render.output.strength_advice import METHOD, advise
from registry.jobs import queue
from registry.uploads.services import CHECKS_QUEUE

ADVISE_TASK = "advise"
#: Maximum number of renders without current advice that are queued when a worker starts.
MAX_MISSING = 100

log = logging.getLogger(__name__)


def measure(*, render: Render) -> None:
    """Store the advice for a render; unreadable pictures are logged, and no advice is stored."""
    if render.kind != RenderKind.PREVIEW:
        return
    pictures = (
        ((row.prompt_index, row.seed, row.strength), bytes_of(row.blob.sha256))
        for row in render.images.select_related("blob")
    )
    try:
        advice = advise(pictures)
    except (OSError, ValueError):
        log.exception("no strength advice for render %s", render.pk)
        return
    document = advice.to_dict() if advice else {"method": METHOD}
    Render.objects.filter(pk=render.pk).update(advice=document)


def begin_missing() -> None:
    """Queue the newest renders that were never measured, or with an older method."""
    is_old = ~Q(advice__method=METHOD) | Q(advice__method__isnull=True)
    rows = Render.objects.filter(is_old, kind=RenderKind.PREVIEW, state=RenderState.READY)
    for render_id in rows.order_by("-pk").values_list("pk", flat=True)[:MAX_MISSING]:
        queue.enqueue(
            queue=CHECKS_QUEUE,
            task=ADVISE_TASK,
            args={"render_id": render_id},
            key=f"{ADVISE_TASK}:{render_id}",
            priority=queue.RENEWAL,  # users wait for the checks of uploads
        )
