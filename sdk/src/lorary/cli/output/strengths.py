"""Strengths in a line: what a version's creator recommends, and what its previews show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lorary.client.http.json_answers import Record

if TYPE_CHECKING:
    from lorary.client import Version


def document(version: Version) -> dict[str, float | None]:
    """Return recommended, least and most strength as JSON values."""
    values = Record(Record(version.data, "version").mapping("strength"), "strength")
    return {key: values.number(key) for key in ("recommended", "min", "max")}


def recommended(version: Version) -> str:
    """Return ``0.9 (0.7 to 1)``, or what there is of it."""
    values = document(version)
    best, low, high = values["recommended"], values["min"], values["max"]
    between = f"{low:g} to {high:g}" if low is not None and high is not None else ""
    if best is None:
        return between
    return f"{best:g} ({between})" if between else f"{best:g}"


def measured(version: Version) -> str:
    """Return where the change begins, is full and comes apart, empty where nobody knows.

    Where strengths go below 0 as well, each side has its sentence.
    """
    advice = Record(Record(version.previews.data, "previews").mapping("advice"), "advice")
    sides = [advice.mapping(sign) for sign in ("positive", "negative")]
    return "; ".join(_side(Record(side, "advice")) for side in sides if side)


def _side(side: Record) -> str:
    ends = side.number("ends") or 0.0
    if side.number("begins") is None:
        return f"hardly any change up to {ends:g}"
    return ", ".join(_phrases(side, ends))


def _phrases(side: Record, ends: float) -> Iterator[str]:
    yield f"begins at {side.number('begins'):g}"
    full, breaks = side.number("saturates"), side.number("breaks")
    yield f"still growing at {ends:g}" if full is None else f"full effect at {full:g}"
    if breaks is not None:
        yield f"comes apart at {breaks:g}"
