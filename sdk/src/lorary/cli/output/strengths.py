"""Strengths of versions: those that people recommend, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lorary.client.http.json_answers import Record

if TYPE_CHECKING:
    from lorary.client import Version


def strengths_document(version: Version) -> dict[str, float | None]:
    """Return recommended, minimum and maximum strength as JSON values."""
    return {key: version.strength(key) for key in ("recommended", "min", "max")}


def recommended(version: Version) -> str:
    """Return a text such as ``0.9 (0.7 to 1)``, as far as the values are set."""
    values = strengths_document(version)
    best, low, high = values["recommended"], values["min"], values["max"]
    between = f"{low:g} to {high:g}" if low is not None and high is not None else ""
    if best is None:
        return between
    return f"{best:g} ({between})" if between else f"{best:g}"


def measured(version: Version) -> str:
    """Return the measured strengths of first effect, full effect and artefacts; empty if unknown.

    If negative strengths were measured, there is one sentence for each side.
    """
    advice = Record(Record(version.previews.data, "previews").mapping("advice"), "advice")
    sides = [advice.mapping(sign) for sign in ("positive", "negative")]
    return "; ".join(side_line(side) for side in sides if side)


def side_line(document: Mapping[str, object]) -> str:
    """Return where the change on one side of 0 begins, is full, and degrades the pictures."""
    side = Record(dict(document), "advice")
    ends = side.number("ends") or 0.0
    if side.number("begins") is None:
        return f"hardly any change up to {ends:g}"
    return ", ".join(_phrases(side, ends))


def _phrases(side: Record, ends: float) -> Iterator[str]:
    yield f"begins at {side.number('begins'):g}"
    full, breaks = side.number("saturates"), side.number("breaks")
    yield f"still growing at {ends:g}" if full is None else f"full effect at {full:g}"
    if breaks is not None:
        yield f"degrades from {breaks:g}"
