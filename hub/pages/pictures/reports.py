"""Look reports in words and bars, with the pictures that they are measured from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from hub.pages.adapters.content_rating import rating_of
from hub.templatetags.lorary import strength
from lorary.anatomy import family_title
from previews import worker_bases
from previews.models import Report, ReportPart, ReportState
from previews.renders.messages import no_renderer
from previews.reports import selectors
from previews.reports.selectors import LOWER, Difference, Measured
from registry.adapters import selectors as adapter_selectors
from registry.errors import NotFound
from registry.models import Adapter, Version
from registry.versions import selectors as version_selectors

#: The part of the pictures that each figure is measured from.
_PARTS = {
    "subject_kept": ReportPart.LOOK,
    "consistency": ReportPart.LOOK,
    "leak": ReportPart.PLAIN,
    "drift": ReportPart.UNRELATED,
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure from 0 to 100, of which more is better, and what it means."""

    title: str
    says: str
    share: int
    error: int


@dataclass(frozen=True, slots=True)
class Panel:
    """The report of a version: its bars, or why there are none."""

    bars: Sequence[Bar]
    says: str
    conditions: str
    url: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture in the form that the ``picture`` tag takes."""

    url: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True, slots=True)
class Row:
    """The pictures of a prompt without and with the adapter."""

    prompt: str
    without: Shown
    applied: Shown


@dataclass(frozen=True, slots=True)
class Group:
    """The pictures that one or more figures are measured from."""

    title: str
    rows: Sequence[Row]


@require_safe
def show(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Show the report of ``?v=`` with its pictures; with ``?part=1`` only the pictures."""
    adapter = adapter_selectors.get(request.user, owner, name)
    wanted = request.GET.get("v") or version_selectors.LATEST
    version = version_selectors.get(request.user, adapter, wanted)
    report = selectors.report_of(version)
    if report is None:
        raise NotFound(_("This version has no look report yet."))
    context = {
        "adapter": adapter,
        "version": version,
        "report": _panel(adapter, version, report),
        "rating": rating_of(request, adapter),
        "groups": _groups(report, selectors.pictures_of(report)),
    }
    is_part = bool(request.GET.get("part"))
    return render(request, f"adapter/report_{'pictures' if is_part else 'page'}.html", context)


def panel_of(adapter: Adapter, version: Version, *, has_previews: bool) -> Panel | None:
    """Return the panel of a version; None while it has neither a report nor previews."""
    report = selectors.report_of(version)
    if report is not None:
        return _panel(adapter, version, report)
    return Panel((), _why_none(version), "", "") if has_previews else None


def panel_of_sheet(report: Report, family: str) -> Panel:
    """Return the panel of a pack's cover sheet, whose pictures the page shows."""
    conditions = _("Measured from the pictures of this sheet with %(base)s, recipe %(number)d.")
    return _filled(report, conditions, family, "")


def _panel(adapter: Adapter, version: Version, report: Report) -> Panel:
    url = f"{reverse('adapter-report', args=[adapter.owner, adapter.name])}?v={version.name}"
    conditions = _("Measured at strength %(strength)s with %(base)s, recipe %(number)d.")
    return _filled(report, conditions, version.family, url)


def _filled(report: Report, conditions: str, family: str, url: str) -> Panel:
    is_ready = report.state == ReportState.READY
    if not (is_ready or report.figures):
        return Panel((), _state(report), "", "")
    values = {
        "strength": strength(report.strength),
        "base": family_title(family),
        "number": report.recipe["version"],
    }
    says = [] if is_ready else [_renewal(report)]
    says += [] if report.figures.get("effect") else [_unknown()]
    return Panel(_bars(report), " ".join(says), conditions % values, url)


def _state(report: Report) -> str:
    if report.state == ReportState.FAILED:
        return _("The look could not be measured. %(reason)s") % {"reason": report.reason}
    return _("The look is measured when no other pictures are waiting.")


def _renewal(report: Report) -> str:
    if report.state == ReportState.FAILED:
        text = _(
            "These figures are from an earlier measurement. It could not be repeated. %(reason)s"
        )
        return text % {"reason": report.reason}
    return _("These figures are from an earlier measurement. New ones are being measured.")


def _unknown() -> str:
    return _("The pictures of different prompts are the same, so nothing can be measured.")


def _why_none(version: Version) -> str:
    base = worker_bases.base_for(version.family)
    if base is None:
        return no_renderer(version.family)
    if not base.encoder or base.frames:
        return _("Looks are not measured for this base model on this hub.")
    return _("The look is measured when no other pictures are waiting.")


def _bars(report: Report) -> list[Bar]:
    bars = []
    for name in selectors.FIGURES:
        found = selectors.value_of(report, name)
        if found is not None:
            share = _share(name, found[0])
            title, *sentences = _WORDS[name]()
            says = sentences[_grade(name, share)]
            bars.append(Bar(title, says, share, round(100 * found[1])))
    return bars


def _share(figure: str, value: float) -> int:
    """Return a figure in hundredths, of which more is better."""
    return round(100 * (1 - value if figure in LOWER else value))


def _grade(figure: str, share: int) -> int:
    """Return the index of the sentence for a share: good, fair or poor."""
    good, fair = _GRADES[figure]
    return 0 if share >= good else 1 if share >= fair else 2


#: From which shares on a figure is good, and fair. Drawings that a program repaints in one look,
#: each with its own subject, measure about .65 in consistency and .7 in the subject kept.
_GRADES = {"subject_kept": (60, 35), "consistency": (50, 30), "leak": (80, 50), "drift": (80, 50)}


#: The title of each figure, and sentences for a good, a fair and a poor one.
_WORDS = {
    "subject_kept": lambda: (
        _("Keeps the subject"),
        _("Pictures show what their prompts ask for."),
        _("Parts of what prompts ask for are lost."),
        _("Pictures hardly show what their prompts ask for."),
    ),
    "consistency": lambda: (
        _("Same look on every subject"),
        _("It changes different subjects in the same way."),
        _("It changes some subjects in a different way."),
        _("It changes every subject in a different way."),
    ),
    "leak": lambda: (
        _("Needs its trigger words"),
        _("Without the words it changes little."),
        _("Without the words a part of the look remains."),
        _("Without the words most of the look remains."),
    ),
    "drift": lambda: (
        _("Leaves other prompts alone"),
        _("Unrelated prompts give nearly the same pictures."),
        _("Unrelated prompts give somewhat different pictures."),
        _("Unrelated prompts give very different pictures."),
    ),
}


def _groups(report: Report, pictures: Sequence[Measured]) -> list[Group]:
    """Return the pictures of the first seed by part."""
    seeds = {one.seed: None for one in pictures}
    first = next(iter(seeds), None)
    groups = []
    for part in ReportPart:
        titles = [
            _WORDS[name]()[0]
            for name, of in _PARTS.items()
            if of == part and selectors.value_of(report, name) is not None
        ]
        shown = [one for one in pictures if one.part == part and one.seed == first]
        by_prompt: dict[int, dict[bool, Measured]] = {}
        for one in shown:
            by_prompt.setdefault(one.prompt_index, {})[one.strength != 0] = one
        rows = [_row(two) for two in by_prompt.values() if len(two) == 2]
        if rows:
            groups.append(Group(" · ".join(titles) or str(part.label), rows))
    return groups


def _row(two: dict[bool, Measured]) -> Row:
    prompt = two[True].prompt
    return Row(
        prompt,
        _shown(two[False], _("%(prompt)s, without the adapter") % {"prompt": prompt}),
        _shown(two[True], _("%(prompt)s, with the adapter") % {"prompt": prompt}),
    )


def _shown(picture: Measured, alt: str) -> Shown:
    return Shown(picture.path, picture.width, picture.height, alt)


def sentences_of(versions: tuple[Version, Version], names: Sequence[str]) -> list[str]:
    """Return what the reports of two versions say about their difference, none without both."""
    found = selectors.reports_of(versions)
    first, second = (found.get(version.pk) for version in versions)
    if first is None or second is None or versions[0] == versions[1]:
        return []
    if not selectors.are_comparable(first, second):
        return [_("Their looks were measured in different ways and cannot be compared.")]
    differences = selectors.compare(first, second)
    clear = [_sentence(one, names) for one in differences if one.better is not None]
    return clear or [_("Their looks show no clear difference.")]


def _sentence(one: Difference, names: Sequence[str]) -> str:
    best = one.better or 0
    sides = {"best": names[best], "other": names[1 - best]}
    texts = {
        "subject_kept": _("%(best)s keeps the subject better than %(other)s"),
        "consistency": _("%(best)s gives different subjects a more similar look than %(other)s"),
        "leak": _("%(best)s changes less without its trigger words than %(other)s"),
        "drift": _("%(best)s changes other prompts less than %(other)s"),
    }
    return _("%(what)s: %(a)d and %(b)d of 100.") % {
        "what": texts[one.figure] % sides,
        "a": _share(one.figure, one.values[best]),
        "b": _share(one.figure, one.values[1 - best]),
    }


def report_context(adapter: Adapter, version: Version, previews: Any) -> dict[str, Any]:  # noqa: ANN401 - a panel
    """Return the context with ``report``, the panel."""
    return {"report": panel_of(adapter, version, has_previews=previews.state == "ready")}
