"""Reads cover sheets: who may see them, the sheets of a version, the covers of packs.

A sheet is visible to those who can see its pack, its version and all adapters in it. Pictures are
rated like their pack.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, F, OuterRef, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils.translation import gettext as _

from previews.derived import offered
from previews.models import (
    Image,
    Layer,
    Render,
    RenderKind,
    RenderState,
    Report,
    Sheet,
    SheetKind,
)
from previews.pictures.selectors import DIGITS, Picture, Source, pictures_of
from previews.renders.selectors import Previews, of_renders
from previews.tryouts.selectors import triable_by
from registry.errors import NotFound
from registry.models import (
    OUT_STATES,
    Maturity,
    Pack,
    PackVersion,
    User,
    VersionState,
    Visibility,
)

#: Newest renders of a version of a pack that are read.
MAX_RENDERS = 100

Viewer = User | AnonymousUser | None

_SHEETS = {"has_sheets": Exists(Sheet.objects.filter(render=OuterRef("pk"), kind=SheetKind.PNG))}


def visible_to(viewer: Viewer) -> QuerySet[Render]:
    """Return the renders of packs that a viewer can see."""
    # Conditions that databases check for the rows that others leave: a hub has few packs, and
    # perhaps 100,000 versions of adapters.
    seen = triable_by(viewer).filter(pk=OuterRef("version"))
    hidden = Layer.objects.filter(~Exists(seen), render=OuterRef("pk"))
    packs = Pack.objects.visible_to(viewer).filter(withdrawn_reason="")
    return Render.objects.filter(
        ~Exists(hidden),
        Exists(packs.filter(pk=OuterRef("pack_version__pack"))),
        kind=RenderKind.PACK,
        pack_version__state__in=OUT_STATES,
    )


def require_visible(viewer: Viewer, render_id: int) -> bool:
    """Return whether a render of a pack is public, and all adapters in it.

    Raises:
        NotFound: the viewer cannot see it.
    """
    unlisted = Layer.objects.exclude(version__adapter__visibility=Visibility.PUBLIC)
    public = visible_to(None).filter(
        ~Exists(unlisted.filter(render=OuterRef("pk"))),
        pack_version__pack__visibility=Visibility.PUBLIC,
    )
    if public.filter(pk=render_id).exists():
        return True
    if not visible_to(viewer).filter(pk=render_id).exists():
        raise NotFound(_("There is no such picture."))
    return False


@dataclass(frozen=True, slots=True)
class DrawnSheet:
    """The contact sheet of a variant, as ``{% picture %}`` shows pictures."""

    url: str
    width: int
    height: int
    sources: tuple[Source, ...]


def drawn_sheets_of(renders: Iterable[int]) -> dict[int, DrawnSheet]:
    """Return render id → its contact sheet, for renders that the viewer can see; one query."""
    rows = Sheet.objects.filter(render__in=list(renders), kind=SheetKind.PNG)
    return {sheet.render_id: _drawn(sheet) for sheet in rows.select_related("blob")}


def _drawn(sheet: Sheet) -> DrawnSheet:
    path = f"/media/sheets/{sheet.render_id}"
    digest = sheet.blob.sha256[:DIGITS]
    return DrawnSheet(
        url=f"{path}.png",
        width=sheet.width,
        height=sheet.height,
        sources=tuple(
            Source(kind, wide, f"{path}/{digest}-{wide}.{kind}")
            for kind, wide in offered(sheet.width)
        ),
    )


def sheets_of(viewer: Viewer, version: PackVersion, rating: Maturity) -> dict[str, Previews]:
    """Return the sheet of each variant by its name, as a viewer sees it.

    It is the newest one, with the pictures of the one before until it is ready.

    Args:
        rating: That of the pack.
    """
    rows = visible_to(viewer).filter(pack_version=version)
    rows = rows.select_related("recipe", "job").annotate(**_SHEETS).order_by("-pk")
    renders: dict[str, list[Render]] = {}
    for render in rows[:MAX_RENDERS]:
        renders.setdefault(render.variant, []).append(render)
    found = {name: of_renders(each) for name, each in renders.items()}
    return {
        name: replace(one, images=tuple(_rated(picture, rating) for picture in one.images))
        for name, one in found.items()
    }


def report_of(viewer: Viewer, version: PackVersion, variant: str = "") -> Report | None:
    """Return the look report of a variant's newest sheet that has one, as a viewer sees it.

    Without a variant, it is that of the first variant with one.
    """
    rows = Report.objects.filter(render__in=visible_to(viewer), render__pack_version=version)
    rows = rows.filter(render__variant=variant) if variant else rows
    rows = rows.select_related("job", "render__pack_version")
    return rows.order_by("render__rank", "-render_id").first()


def reports_of(renders: Iterable[int]) -> dict[int, Report]:
    """Return render id → look report, for sheets that the viewer can see; one query."""
    rows = Report.objects.filter(render__in=list(renders)).select_related("job")
    return {row.render_id: row for row in rows if row.render_id is not None}


def covers_of(viewer: Viewer, packs: Iterable[Pack]) -> dict[int, Picture]:
    """Return pack id → cover, for packs that have one that the viewer can see; three queries.

    It is the first subject with the pack, of the first variant, of the newest version with a
    sheet. Pictures come before videos. The cover has the highest of its own rating and those of
    the parts that it was made with; the rating of the pack may be higher.
    """
    ids = [pack.pk for pack in packs]
    if not ids:
        return {}
    ready = visible_to(viewer).filter(
        state=RenderState.READY,
        pack_version__pack__in=ids,
        pack_version__state=VersionState.PUBLISHED,
    )
    ranked = (
        Image.objects.filter(render__in=ready, blob__is_stored=True)
        .exclude(strength=0)
        .annotate(
            place=Window(
                RowNumber(),
                partition_by=F("render__pack_version__pack"),
                order_by=[
                    F("render__pack_version__number").desc(),
                    "render__output",
                    "render__rank",
                    F("render").desc(),
                    "position",
                ],
            )
        )
    )
    rows = ranked.filter(place=1).values_list("pk", "render__pack_version__pack", "render")
    chosen = {pk: (pack, render) for pk, pack, render in rows}
    pictures = pictures_of(Image.objects.filter(pk__in=chosen)) if chosen else []
    ratings = _ratings_of(render for _pack, render in chosen.values())
    return {
        chosen[picture.id][0]: _rated(picture, ratings[chosen[picture.id][1]])
        for picture in pictures
    }


def _ratings_of(renders: Iterable[int]) -> dict[int, Maturity]:
    """Return render id → the highest rating of the adapters in it."""
    found = dict.fromkeys(renders, Maturity.GENERAL)
    layers = Layer.objects.filter(render__in=found) if found else Layer.objects.none()
    for render, rating in layers.values_list("render", "version__adapter__maturity"):
        found[render] = max(found[render], Maturity(rating), key=lambda one: one.rank)
    return found


def _rated(picture: Picture, rating: Maturity) -> Picture:
    own = [Maturity(picture.own_maturity)] if picture.own_maturity else []
    highest = max([rating, *own], key=lambda one: one.rank)
    return replace(picture, maturity=highest.value)
