"""Reads of look reports, and the comparison of two."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from previews.models import Image, Report, ReportPart, ReportPicture, ReportState
from previews.renders.selectors import previews_of
from registry.models import Version, VersionState

#: Figures from 0 to 1 in the order in which they are shown; of those in ``LOWER`` less is better.
FIGURES = ("subject_kept", "consistency", "leak", "drift")
LOWER = frozenset({"leak", "drift"})

#: Two versions whose figures differ by less are alike, whatever their errors.
ALIKE = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two versions; ``better`` is 0 or 1 for the better one, None if they are alike."""

    figure: str
    values: tuple[float, float]
    better: int | None


def report_of(version: Version) -> Report | None:
    """Return the report of a version: the one that is ready, else the newest; None without any."""
    if version.state == VersionState.WITHDRAWN:
        return None
    found = list(version.reports.select_related("job")[:10])
    ready = (one for one in found if one.state == ReportState.READY)
    return next(ready, found[0] if found else None)


def reports_of(versions: Sequence[Version]) -> dict[int, Report]:
    """Return the ready reports of versions by version; one query."""
    shown = [one.pk for one in versions if one.state != VersionState.WITHDRAWN]
    rows = Report.objects.filter(version__in=shown, state=ReportState.READY)
    return {row.version_id: row for row in rows if row.version_id is not None}


@dataclass(frozen=True, slots=True)
class Measured:
    """A picture of a report, with the adapter or the pack, or (strength 0) without it.

    It is one of the report's own, or one of its cover sheet; ``path`` is that of the PNG.
    """

    id: int
    path: str
    part: str
    prompt_index: int
    prompt: str
    seed: int
    strength: float
    width: int
    height: int
    sha256: str


def pictures_of(report: Report) -> list[Measured]:
    """Return the pictures of a report in their order."""
    if report.render is not None:
        images = report.render.images.select_related("blob").order_by("position")
        return [_measured(one, ReportPart.LOOK, f"/media/images/{one.pk}.png") for one in images]
    rows = report.pictures.select_related("blob").order_by("position")
    return [_measured(row, row.part, f"/media/reports/{row.pk}.png") for row in rows]


def _measured(row: ReportPicture | Image, part: str, path: str) -> Measured:
    names = ("prompt_index", "prompt", "seed", "strength", "width", "height")
    columns = {name: getattr(row, name) for name in names}
    return Measured(id=row.pk, path=path, part=part, sha256=row.blob.sha256, **columns)


def range_of(version: Version) -> Mapping[str, Any] | None:
    """Return the advice on strengths above 0 of a version's previews, None without any."""
    side: Mapping[str, Any] | None = previews_of(version).advice.get("positive")
    return side


def value_of(report: Report, figure: str) -> tuple[float, float] | None:
    """Return value and standard error of a figure, None if the pictures cannot say it.

    The error is 0 if it is unknown.
    """
    found = report.figures.get(figure)
    return (found["value"], found["error"] or 0.0) if found else None


def are_comparable(first: Report, second: Report) -> bool:
    """Return whether two reports were made with the same base, recipe, encoder and measures."""
    names = ("state", "base", "recipe_digest", "encoder_digest")
    is_same = all(getattr(first, name) == getattr(second, name) for name in names)
    is_ready = first.state == ReportState.READY
    return is_ready and is_same and first.figures.get("method") == second.figures.get("method")


def compare(first: Report, second: Report) -> list[Difference]:
    """Return the figures that both reports have; none if they cannot be compared."""
    return list(_differences(first, second)) if are_comparable(first, second) else []


def _differences(first: Report, second: Report) -> Iterator[Difference]:
    for name in FIGURES:
        one, other = value_of(first, name), value_of(second, name)
        if one is not None and other is not None:
            gap = other[0] - one[0]
            is_clear = abs(gap) >= max(ALIKE, math.hypot(one[1], other[1]))
            is_second = (gap > 0) != (name in LOWER)
            better = int(is_second) if is_clear else None
            yield Difference(name, (one[0], other[0]), better)
