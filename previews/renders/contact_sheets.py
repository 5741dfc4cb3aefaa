"""Contact sheets of finished renders: all pictures of one on a PNG."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from lorary.anatomy import family_title
from previews.derived import Unreadable, opened
from previews.derived.contact_sheet import MAX_STRIPS, Contact, Scene, Strip, png, thumbnail
from previews.fonts import faces
from previews.models import Image, Render, RenderKind, RenderState, Sheet, SheetKind
from previews.pictures import services as blobs
from registry.blobs import promote
from registry.jobs import queue
from registry.uploads.services import CHECKS_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import QuerySet

__all__ = ["SHEET_TASK", "begin", "begin_missing", "contact_of", "make", "missing"]

SHEET_TASK = "sheet"
#: Renders without sheets that are queued when a worker starts.
LOOK = 50

log = logging.getLogger(__name__)


def begin(*, render: Render) -> None:
    """Queue the sheets of a finished render; try-outs have none."""
    if render.kind == RenderKind.PREVIEW:
        queue.enqueue(
            queue=CHECKS_QUEUE,
            task=SHEET_TASK,
            args={"render_id": render.pk},
            key=f"{SHEET_TASK}:{render.pk}",
            priority=queue.RENEWAL,
        )


def missing() -> QuerySet[Render]:
    """Return finished renders of versions that have no sheet, the newest first."""
    done = Render.objects.filter(kind=RenderKind.PREVIEW, state=RenderState.READY)
    drawn = Sheet.objects.filter(kind=SheetKind.PNG, render=OuterRef("pk"))
    return done.filter(~Exists(drawn), images__blob__is_stored=True).distinct()


def begin_missing() -> None:
    """Queue sheets of renders from before there were sheets, a bounded number at a time."""
    for render in missing()[:LOOK]:
        begin(render=render)


def make(*, render: Render) -> None:
    """Store the sheet of a finished render, once; one without a picture has none."""
    if render.state != RenderState.READY or render.sheets.filter(kind=SheetKind.PNG).exists():
        return
    contact = contact_of(render)
    if not contact.scenes:
        return
    stored = promote.put([png(contact, faces())])
    with transaction.atomic():
        blob = promote.arrived(stored)
        Sheet.objects.get_or_create(render=render, kind=SheetKind.PNG, defaults={"blob": blob})


def contact_of(render: Render) -> Contact:
    """Return what a sheet shows of a render; pictures that cannot be read are left blank."""
    images = list(render.images.select_related("blob").order_by("position"))
    pairs = dict.fromkeys((image.prompt_index, image.seed) for image in images)
    shown = set(list(pairs)[:MAX_STRIPS])
    facts = _facts(render)
    if len(pairs) > MAX_STRIPS:
        said = {"shown": MAX_STRIPS, "all": len(pairs)}
        facts.append(_("The first %(shown)d of %(all)d rows.") % said)
    kept = [image for image in images if (image.prompt_index, image.seed) in shown]
    strengths = tuple(sorted({image.strength for image in kept}))
    return Contact(
        title=_title(render),
        facts=tuple(facts),
        scenes=tuple(_scenes(kept, len(strengths))),
        strengths=strengths,
        seed_label=_("seed"),
        control_label=_("no adapter"),
    )


def _title(render: Render) -> str:
    version = render.version
    return f"{version.adapter.display_title} {version.name}" if version else ""


def _facts(render: Render) -> list[str]:
    """Return how the pictures were made, in two lines."""
    recipe = render.recipe.document if render.recipe else {}
    version = render.version
    made_by = [f"{version.adapter.full_name}@{version.name}"] if version else []
    made_by.append(family_title(render.family) or recipe.get("base", ""))
    if "steps" in recipe:
        made_by.append(_("%(steps)d steps") % {"steps": recipe["steps"]})
    if "guidance" in recipe:
        made_by.append(_("guidance %(guidance)s") % {"guidance": f"{recipe['guidance']:g}"})
    if "width" in recipe:
        made_by.append(f"{recipe['width']} × {recipe['height']}")
    made_at = timezone.localtime(render.finished_at or render.created_at)
    identity = [
        _("recipe %(digest)s") % {"digest": render.recipe.digest[:12] if render.recipe else "–"},
        *_file(render),
        _("rendered on %(date)s by %(renderer)s")
        % {"date": date_format(made_at, "j F Y"), "renderer": recipe.get("renderer", "–")},
    ]
    return [" · ".join(made_by), " · ".join(identity)]


def _file(render: Render) -> Iterator[str]:
    """Yield the ends of the digest of the file that was rendered."""
    primary = render.version.primary_file if render.version else None
    if primary is not None:
        yield f"sha256 {primary.sha256[:12]}…"


def _scenes(images: Sequence[Image], count: int) -> Iterator[Scene]:
    for index in dict.fromkeys(image.prompt_index for image in images):
        of_prompt = [image for image in images if image.prompt_index == index]
        seeds = dict.fromkeys(image.seed for image in of_prompt)
        strips = tuple(
            _strip(seed, [image for image in of_prompt if image.seed == seed], count)
            for seed in seeds
        )
        yield Scene(of_prompt[0].prompt, strips)


def _strip(seed: int, images: Sequence[Image], count: int) -> Strip:
    cells = {}
    for image in images:
        try:
            cells[image.strength] = thumbnail(opened(blobs.bytes_of(image.blob)), count)
        except (FileNotFoundError, Unreadable) as error:
            log.warning("picture %s is not on the sheet: %s", image.pk, error)
    return Strip(seed, cells)
