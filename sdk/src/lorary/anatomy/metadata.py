"""Reading `__metadata__`: every value is text that somebody else wrote."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["clean", "number", "parsed", "present", "shorten"]

_MOST_JSON_CHARS = 4 * 1024 * 1024
_ABSENT = frozenset({"", "none", "null", "nan", "undefined"})

INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
"""Control, direction and zero-width characters: they hide or reorder text."""


def clean(text: str, most: int = 200) -> str:
    """Text without invisible characters, on one line, at most `most` characters long."""
    bare = INVISIBLE.sub("", text[: 4 * most])
    return shorten(" ".join(bare.split()), most)


def shorten(text: str, most: int) -> str:
    """Text cut to `most` characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def present(metadata: Mapping[str, str], *keys: str, most: int = 200) -> str | None:
    """The first value that is there; trainers write `None` and empty texts for absent ones."""
    for key in keys:
        value = metadata.get(key)
        if value is not None and value[:16].strip().lower() not in _ABSENT:
            return clean(value, most)
    return None


def parsed(metadata: Mapping[str, str], key: str) -> object | None:
    """A value that should be JSON, or None when it is absent, too large or no JSON."""
    text = metadata.get(key)
    if text is None or len(text) > _MOST_JSON_CHARS:
        return None
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def number(value: object) -> float | None:
    """A finite number out of a number or its text, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value if not isinstance(value, str) else value[:40])
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
