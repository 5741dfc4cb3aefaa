"""Makes contact sheets: a PNG with all pictures of a finished render.

That of a pack shows each subject without and with it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from lorary.anatomy import family_title
from previews.derived import Unreadable, opened
from previews.derived.contact_sheet_drawing import MAX_STRIPS, Contact, Scene, Strip, png, thumbnail
from previews.fonts import fonts
from previews.models import Image, Render, RenderKind, RenderState, Sheet, SheetKind
from previews.pictures.services import bytes_of
from registry.blobs import promote
from registry.jobs import queue
from registry.models import Job
from registry.uploads.services import CHECKS_QUEUE

SHEET_TASK = "sheet"
#: Renders that have sheets.
KINDS = (RenderKind.PREVIEW, RenderKind.PACK)
#: Columns of the sheet of a pack.
COLUMNS = 4
#: Maximum number of renders without a sheet that are queued when a worker starts.
MAX_MISSING = 50

log = logging.getLogger(__name__)


def begin(*, render: Render) -> None:
    """Queue the sheet of a finished render, again if drawing it failed; try-outs have none."""
    if render.kind in KINDS:
        queue.enqueue(
            queue=CHECKS_QUEUE,
            task=SHEET_TASK,
            args={"render_id": render.pk},
            key=_key(render.pk),
            priority=queue.RENEWAL,
        )


def _key(render_id: int) -> str:
    return f"{SHEET_TASK}:{render_id}"


def jobs_of(renders: Iterable[int]) -> dict[int, Job]:
    """Return render id → the newest job that draws its sheet; one query."""
    ids = {_key(pk): pk for pk in renders}
    return {ids[job.key]: job for job in Job.objects.filter(key__in=ids).order_by("pk")}


def missing() -> QuerySet[Render]:
    """Return finished renders without a sheet, newest first."""
    done = Render.objects.filter(kind__in=KINDS, state=RenderState.READY)
    drawn = Sheet.objects.filter(kind=SheetKind.PNG, render=OuterRef("pk"))
    return done.filter(~Exists(drawn), images__blob__is_stored=True).distinct()


def begin_missing() -> None:
    """Queue the newest finished renders without a sheet."""
    for render in missing()[:MAX_MISSING]:
        begin(render=render)


def make(*, render: Render) -> None:
    """Store the sheet of a finished render, unless it already has one or has no pictures."""
    if render.state != RenderState.READY or render.sheets.filter(kind=SheetKind.PNG).exists():
        return
    contact = contact_of(render)
    if not contact.scenes:
        return
    drawn = png(contact, fonts())
    width, height = opened(drawn).size
    stored = promote.put([drawn])
    with transaction.atomic():
        columns = {"blob": promote.mark_stored(stored), "width": width, "height": height}
        Sheet.objects.get_or_create(render=render, kind=SheetKind.PNG, defaults=columns)


def contact_of(render: Render) -> Contact:
    """Return the contents of a render's sheet; pictures that cannot be read are blank."""
    of_pack = render.pack_version is not None
    images = list(render.images.select_related("blob").order_by("position"))
    pairs = dict.fromkeys((image.prompt_index, image.seed) for image in images)
    shown = set(list(pairs)[:MAX_STRIPS])
    facts = _facts(render)
    if len(pairs) > MAX_STRIPS:
        rows = {"shown": MAX_STRIPS, "all": len(pairs)}
        facts.append(_("The first %(shown)d of %(all)d rows.") % rows)
    kept = [image for image in images if (image.prompt_index, image.seed) in shown]
    strengths = tuple(sorted({image.strength for image in kept}))
    scenes = tuple(_scenes(kept, len(strengths)))
    return Contact(
        title=_names(render)[0],
        facts=tuple(facts),
        scenes=scenes,
        strengths=strengths,
        seed_label=_("seed"),
        control_label=_("no adapter"),
        labels={0.0: _("without the pack"), 1.0: _("with the pack")} if of_pack else {},
        columns=max(1, min(COLUMNS, len(scenes))) if of_pack else 1,
    )


def _names(render: Render) -> tuple[str, str]:
    """Return the title of what was rendered, and its name."""
    if render.pack_version is not None:
        pack, version = render.pack_version.pack, render.pack_version
        return f"{pack.display_title} {version.name}", f"packs/{pack.full_name}@{version.name}"
    if render.version is not None:
        adapter, name = render.version.adapter, render.version.name
        return f"{adapter.display_title} {name}", f"{adapter.full_name}@{name}"
    return "", ""


def _facts(render: Render) -> list[str]:
    """Return two lines that describe how the pictures were made."""
    recipe = render.recipe.document if render.recipe else {}
    version = render.version
    made_by = [name] if (name := _names(render)[1]) else []
    made_by.append(family_title(render.family) or recipe.get("base", ""))
    if "steps" in recipe:
        made_by.append(_("%(steps)d steps") % {"steps": recipe["steps"]})
    if "guidance" in recipe:
        made_by.append(_("guidance %(guidance)s") % {"guidance": f"{recipe['guidance']:g}"})
    if "width" in recipe:
        made_by.append(f"{recipe['width']} × {recipe['height']}")
    if recipe.get("frames"):
        made_by.append(_("first of %(n)d frames") % {"n": recipe["frames"]})
    primary = version.primary_file if version else None
    made_at = timezone.localtime(render.finished_at or render.created_at)
    identity = [
        _("recipe %(digest)s") % {"digest": render.recipe.digest[:12] if render.recipe else "–"},
        *([f"sha256 {primary.sha256[:12]}…"] if primary is not None else []),
        _("rendered on %(date)s by %(renderer)s")
        % {"date": date_format(made_at, "j F Y"), "renderer": recipe.get("renderer", "–")},
    ]
    return [" · ".join(made_by), " · ".join(identity)]


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
            cells[image.strength] = thumbnail(opened(bytes_of(image.blob.sha256)), count)
        except (FileNotFoundError, Unreadable) as error:
            log.warning("picture %s is not on the sheet: %s", image.pk, error)
    return Strip(seed, cells, tuple(sorted(image.strength for image in images)))
