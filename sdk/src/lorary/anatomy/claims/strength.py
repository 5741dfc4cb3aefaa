"""The strength that an author recommends: a field of its own, or a number in a sentence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lorary.anatomy.claims.metadata import number, present

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["recommended_strength", "strength_range"]

_MOST_STRENGTH = 10.0
_MOST_SPOKEN = 3.0  # a larger number in a sentence is about something else
_FIELDS = ("modelspec.lora_default_weight", "lora_default_weight", "default_weight")
_SENTENCES = ("modelspec.usage_hint", "modelspec.description", "ss_training_comment")
_SENTENCE_CHARS = 4_000
_NUMBER = r"(-?[0-3]?\.[0-9]{1,3}|-?[0-3](?:\.[0-9]{1,3})?)(?![0-9]|\.[0-9])"
_SPOKEN = re.compile(
    r"\b(?:lora[ _-]?)?(?:strength|weight)s?\b"
    r"(?:\s?(?:of|at|is|are|to|between|around|about|from|recommended|[:=~≈(])){0,16}\s?"
    + _NUMBER
    + r"(?:\s?(?:-|–|—|to|~|and|\.\.)\s?"
    + _NUMBER
    + ")?",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"(?<![0-9.])"
    + _NUMBER
    + r"(?:\s?(?:-|–|—|to|~|and|\.\.)\s?"
    + _NUMBER
    + r")?\s(?:lora[ _-]?)?(?:strength|weight)\b",
    re.IGNORECASE,
)
_PROMPT = re.compile(r"<lora:[^:<>]{1,120}:" + _NUMBER + r"(?::[0-9.]{1,6})?>", re.IGNORECASE)


def strength_range(metadata: Mapping[str, str]) -> tuple[float, float] | None:
    """The least and the largest strength that the author recommends."""
    for key in _FIELDS:
        value = number(metadata.get(key))
        if value is not None and abs(value) <= _MOST_STRENGTH:
            return value, value
    for key in _SENTENCES:
        text = present(metadata, key, most=_SENTENCE_CHARS)
        for form in (_SPOKEN, _BEFORE, _PROMPT) if text else ():
            found = form.search(text or "")
            values = [float(part) for part in found.groups() if part] if found else []
            if values and all(0 < abs(value) <= _MOST_SPOKEN for value in values):
                return min(values), max(values)
    return None


def recommended_strength(metadata: Mapping[str, str]) -> float | None:
    """The strength that the author recommends, the middle where it is a range."""
    found = strength_range(metadata)
    return None if found is None else round((found[0] + found[1]) / 2, 3)
