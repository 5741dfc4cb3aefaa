"""The cover sheets of a pack's version: each subject without and with the pack, as pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from hub.pages.adapters.content_rating import rating_at
from hub.pages.labels import family_label
from hub.pages.pictures.reports import Panel, panel_of_sheet
from previews import worker_bases
from previews.models import OPEN_STATES, RenderState
from previews.packs.selectors import DrawnSheet, drawn_sheets_of, reports_of, sheets_of
from previews.pictures.selectors import Picture
from previews.renders.contact_sheets import jobs_of
from previews.renders.messages import no_renderer
from previews.renders.selectors import NONE, Previews
from registry.models import JobState, Output

if TYPE_CHECKING:
    from django.http import HttpRequest

    from previews.models import Report
    from registry.models import Job, Maturity, PackVariant, PackVersion
    from registry.packs.parts import Part

#: Seconds between refreshes while sheets are rendered.
POLL_S = 5


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture or a video of a pair; ``says`` tells whether it was made with the pack."""

    picture: Picture
    alt: str
    says: str


@dataclass(frozen=True, slots=True)
class ShownSheet:
    """The cover sheet of a variant, and how far it is.

    Attributes:
        name: The name of the variant.
        title: The base model and the output of the variant.
        drawn: The contact sheet; None until it is made.
        pairs: Each subject without and with the pack; those that exist.
        is_renewal: Whether drawn and pairs are those of an earlier render.
        is_drawing: Whether the contact sheet is being drawn.
        undrawn: Why the contact sheet could not be drawn, empty if it was not tried.
        again_url: Where its owner has it rendered or drawn again.
        unserved: Why it cannot be rendered again now, empty if it can or need not.
        report: The look report; None while it is not begun.
    """

    name: str
    title: str
    is_film: bool
    state: str
    reason: str
    done: int
    total: int
    drawn: DrawnSheet | None
    pairs: list[list[Shot]]
    is_renewal: bool
    is_drawing: bool
    undrawn: str
    again_url: str
    unserved: str
    report: Panel | None

    @property
    def is_open(self) -> bool:
        """Whether it is still rendered."""
        return self.state in OPEN_STATES

    @property
    def is_failed(self) -> bool:
        """Whether it can be rendered or drawn again."""
        return self.state == RenderState.FAILED or bool(self.undrawn)


@dataclass(frozen=True, slots=True)
class _About:
    """Contact sheets, the jobs that draw them and look reports by the id of the render."""

    drawn: Mapping[int, DrawnSheet]
    jobs: Mapping[int, Job]
    reports: Mapping[int, Report]


def sheets_context(
    request: HttpRequest,
    version: PackVersion,
    parts: Mapping[int, Sequence[Part]],
    rating: Maturity,
) -> dict[str, Any]:
    """Return the context with ``sheets``, in the order of the variants; a query for each variant.

    Pictures above the viewer's level are blurred: ``pictures_rating`` tells how. A variant whose
    parts are gone for the viewer has no sheet.

    Args:
        parts: Of ``parts.parts_for``.
        rating: That of the pack.
    """
    found = sheets_of(request.user, version, rating)
    ids = [one.shown_id for one in found.values() if one.shown_id is not None]
    about = _About(drawn_sheets_of(ids), jobs_of(ids), reports_of(ids))
    shown = [
        _sheet(variant, found.get(variant.name, Previews()), about)
        for variant in version.variants.all()
        if variant.name in found or all(part.is_at_hand for part in parts[variant.pk])
    ]
    pictures = [picture for one in found.values() for picture in one.images]
    return {
        "sheets": shown,
        "sheets_poll_s": POLL_S if any(one.is_open or one.is_drawing for one in shown) else 0,
        "pictures_rating": rating_at(request, version.pack, rating, pictures=pictures),
        "has_pictures": bool(pictures),
    }


def _sheet(variant: PackVariant, found: Previews, about: _About) -> ShownSheet:
    is_film = variant.output == Output.VIDEO
    shown = found.shown_id or 0
    drawn = about.drawn.get(shown)
    job = about.jobs.get(shown) if drawn is None else None
    is_undrawn = job is not None and job.state in {JobState.FAILED, JobState.CANCELLED}
    report = about.reports.get(shown)
    is_failed = found.state == RenderState.FAILED
    is_served = not is_failed or bool(worker_bases.base_for(variant.family, variant.output))
    pack = variant.version.pack
    query = {"v": variant.version.name, "variant": variant.name}
    return ShownSheet(
        name=variant.name,
        title=" · ".join([family_label(variant.family), str(Output(variant.output).label)]),
        is_film=is_film,
        state=found.state,
        reason=found.reason if found.state != NONE else _not_yet(variant),
        done=found.done,
        total=found.total,
        drawn=drawn,
        pairs=list(_pairs(found.images, pack.display_title)),
        is_renewal=found.is_renewal,
        is_drawing=job is not None and not is_undrawn and job.state != JobState.DONE,
        undrawn=(job.reason or _("It was cancelled.")) if job and is_undrawn else "",
        again_url=f"{reverse('pack-sheets', args=[pack.owner, pack.name])}?{urlencode(query)}",
        unserved="" if is_served else no_renderer(variant.family),
        report=panel_of_sheet(report, variant.family) if report is not None else None,
    )


def _not_yet(variant: PackVariant) -> str:
    family = {"family": family_label(variant.family)}
    if variant.output == Output.VIDEO:
        return _("Not rendered yet: a worker that makes videos with %(family)s is needed.") % family
    return _("Not rendered yet: a worker with %(family)s is needed.") % family


def _pairs(pictures: Iterable[Picture], title: str) -> Iterator[list[Shot]]:
    """Yield the pictures of each subject that exist, without the pack first."""
    ordered = sorted(pictures, key=lambda one: (one.prompt_index, one.strength))
    for _index, pair in groupby(ordered, key=lambda one: one.prompt_index):
        yield [_shot(picture, title) for picture in pair]


def _shot(picture: Picture, title: str) -> Shot:
    if not picture.strength:
        return Shot(picture, picture.prompt, _("without the pack"))
    alt = _("%(prompt)s, with %(title)s") % {"prompt": picture.prompt, "title": title}
    return Shot(picture, alt, _("with the pack"))
