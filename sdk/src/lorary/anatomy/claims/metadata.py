"""Reading `__metadata__`: every value is text that somebody else wrote."""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lorary.anatomy.findings import privacy

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Notebook",
    "base_name",
    "clean",
    "count",
    "decimals",
    "file_told",
    "is_private",
    "notes_of",
    "number",
    "parsed",
    "present",
    "redact",
    "shorten",
    "text_of",
    "told",
    "whole",
]

_MOST_JSON_CHARS = 2 * 1024 * 1024  # parsed JSON takes up to 27 times the space of its text
_MOST_EXACT = 2**53
_SHORT_CHARS = 100
_ABSENT = frozenset({"", "none", "null", "nan", "undefined"})

# What has none of these is no path, address, token or named field; most texts have none.
_SUSPECT = re.compile(r"[/\\@:=&?\t]|--|\S{16}")
_DECIMALS = re.compile(
    r"(?:(?<![\d.])-)?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][-+]?[0-9]{1,3})?"
)
_MARKS = frozenset({"[path]", "[removed]", "[e-mail]", "…"})
_SEPARATOR = re.compile(r"[\\/]+")
_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".sft")
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_HUB = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/", re.IGNORECASE)


def clean(text: str, most: int = 200) -> str:
    """Text without invisible characters, on one line, at most `most` characters long."""
    bare = privacy.UNSEEN.sub("", text[: 4 * most])
    return shorten(" ".join(bare.split()), most)


def shorten(text: str, most: int) -> str:
    """Text cut to `most` characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def redact(text: str) -> str:
    """Text without what is private: paths keep their last part, all else is a mark."""
    return privacy.redact(text) if _SUSPECT.search(text) else text


def is_private(text: str) -> bool:
    """Tell whether something private stands in a text."""
    return _SUSPECT.search(text) is not None and bool(privacy.kinds_in(text))


def told(text: str, most: int = 200) -> str:
    """Text as it may be shown: cleaned, and without what is private.

    Private things go first: the half of a token that a cut leaves says enough.
    """
    return (_told if len(text) <= _SHORT_CHARS else _told.__wrapped__)(text, most)


@lru_cache(maxsize=4_096)
def _told(text: str, most: int) -> str:
    """Cached, because the short values of settings repeat, in one file and from file to file."""
    return clean(redact(text[: 4 * most]), most)


def file_told(text: str, most: int = 200) -> str:
    """A file's or a model's name as it may be shown, without the path to it."""
    name = clean(base_name(redact(text[: 4 * most])), most)
    return "" if name in _MARKS else name


def base_name(reference: str) -> str:
    """A file's or a model's name without the path to it.

    `owner/name` of a model hub is kept; of every other path only the last part is, because the
    rest is about somebody's computer.
    """
    hub = _HUB.match(reference)
    text = reference[hub.end() :] if hub else reference
    text = text.partition("?")[0].strip() if "://" in text or hub else text.strip()
    parts = [part for part in _SEPARATOR.split(text) if part]
    if hub and len(parts) >= 2:
        text = "/".join(parts[:2]) if len(parts) == 2 else parts[-1]
    is_file = text.lower().endswith(_WEIGHTS)
    if not is_file and _REPOSITORY.fullmatch(text) and not text.startswith((".", "~")):
        return text
    return parts[-1] if parts else ""


def present(metadata: Mapping[str, object], *keys: str, most: int = 200) -> str | None:
    """The first text that is there, as it may be shown.

    Trainers write `None` and empty texts for absent ones.
    """
    for key in keys:
        value = metadata.get(key)
        if isinstance(value, str) and value[:16].strip().lower() not in _ABSENT:
            found = told(value, most)
            if found:
                return found
    return None


def text_of(metadata: Mapping[str, object], key: str) -> str:
    """A value as it stands in the file; JSON again when somebody had parsed it already."""
    value = metadata.get(key)
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


class Notebook(dict[str, str]):
    """The metadata of one file while it is looked at, with what was worked out of them.

    Many ask for the same few values, and parsing them takes as long as all else.
    """

    def __init__(self, metadata: Mapping[str, str]) -> None:
        super().__init__(metadata)
        self.notes: dict[object, Any] = {}


def notes_of(metadata: Mapping[str, object]) -> dict[object, Any]:
    """Where answers about metadata are kept, by question; no one changes them."""
    return metadata.notes if isinstance(metadata, Notebook) else {}


def parsed(metadata: Mapping[str, object], key: str) -> object | None:
    """A value that should be JSON, or None when it is absent, too large or no JSON.

    JSON inside a JSON text is opened too, and what somebody had parsed already is taken as it is.
    """
    notes = notes_of(metadata)
    if key not in notes:
        notes[key] = _parse(metadata.get(key))
    found: object | None = notes[key]
    return found


def _parse(value: object) -> object | None:
    for _ in range(2):
        if not isinstance(value, str):
            break
        if len(value) > _MOST_JSON_CHARS:
            return None
        try:
            value = json.loads(value)
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


def count(value: object) -> int | None:
    """A whole number that is not negative, out of a number or its text, else None."""
    found = number(value)
    return int(found) if found is not None and 0 <= found <= _MOST_EXACT else None


def decimals(text: str) -> list[float]:
    """Every number in a short text such as `[1e-4, 5e-5]` or `0-875`."""
    found = (number(part) for part in _DECIMALS.findall(text[:400]))
    return [value for value in found if value is not None]


def whole(value: float | None) -> float | None:
    """The same number, whole ones as such: they are shown without a point."""
    if value is None or abs(value) > _MOST_EXACT or not float(value).is_integer():
        return value
    return int(value)
