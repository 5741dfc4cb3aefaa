"""Reads values of `__metadata__`. All of them are untrusted text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lorary.anatomy.findings import privacy

_MOST_JSON_CHARS = 2 * 1024 * 1024  # parsed JSON takes up to 27 times the space of its text
_MOST_EXACT = 2**53
_SHORT_CHARS = 100
_ABSENT = frozenset({"", "none", "null", "nan", "undefined"})

# Paths, addresses, tokens and named fields have one of these; most texts have none.
_SUSPECT = re.compile(r"[/\\@:=&?\t]|--|\S{16}")
_DECIMALS = re.compile(
    r"(?:(?<![\d.])-)?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][-+]?[0-9]{1,3})?"
)
_MARKS = frozenset({"[path]", "[removed]", "[e-mail]", "…"})
_SEPARATOR = re.compile(r"[\\/]+")
_WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".sft")
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_HUB = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/", re.IGNORECASE)


def clean(text: str, most: int = 200) -> str:
    """Return text on one line, without invisible characters and at most `most` characters long."""
    bare = privacy.INVISIBLE.sub("", text[: 4 * most])
    return shorten(" ".join(bare.split()), most)


def shorten(text: str, most: int) -> str:
    """Return text cut to `most` characters, with an ellipsis if it was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def redact(text: str) -> str:
    """Return text without private data: paths keep their last part, other data becomes a mark."""
    return privacy.redact(text) if _SUSPECT.search(text) else text


def is_private(text: str) -> bool:
    """Return whether a text contains private data."""
    return _SUSPECT.search(text) is not None and bool(privacy.kinds_in(text))


def public_text(text: str, most: int = 200) -> str:
    """Return text that may be shown: cleaned, and without private data.

    Private data is removed before the text is cut: half of a token still says too much.
    """
    return (_public_text if len(text) <= _SHORT_CHARS else _public_text.__wrapped__)(text, most)


@lru_cache(maxsize=4_096)
def _public_text(text: str, most: int) -> str:
    """Cached, because short values repeat within a file and from file to file."""
    return clean(redact(text[: 4 * most]), most)


def public_name(text: str, most: int = 200) -> str:
    """Return the name of a file or model that may be shown, without its path."""
    name = clean(base_name(redact(text[: 4 * most])), most)
    return "" if name in _MARKS else name


def base_name(reference: str) -> str:
    """Return the name of a file or model without its path.

    `owner/name` of a model hub is kept. Of other paths only the last part is kept, because the rest
    describes somebody's computer.
    """
    hub = _HUB.match(reference)
    text = reference[hub.end() :] if hub else reference
    text = text.partition("?")[0].strip() if "://" in text or hub else text.strip()
    parts = [part for part in _SEPARATOR.split(text) if part]
    if hub and len(parts) >= 2:
        text = "/".join(parts[:2]) if len(parts) == 2 else parts[-1]
    is_file = text.lower().endswith(_WEIGHT_SUFFIXES)
    if not is_file and _REPOSITORY.fullmatch(text) and not text.startswith((".", "~")):
        return text
    return parts[-1] if parts else ""


def first_text(metadata: Mapping[str, object], *keys: str, most: int = 200) -> str | None:
    """Return the first text that is present, as it may be shown.

    Trainers write `None` and empty texts for absent values.
    """
    for key in keys:
        value = metadata.get(key)
        if isinstance(value, str) and value[:16].strip().lower() not in _ABSENT:
            found = public_text(value, most)
            if found:
                return found
    return None


def raw_text(metadata: Mapping[str, object], key: str) -> str:
    """Return a value as it is in the file; as JSON if it is already parsed."""
    value = metadata.get(key)
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


class CachedMetadata(dict[str, str]):
    """The metadata of a file with a cache for parsed values.

    Several modules ask for the same few values, and parsing them takes as long as everything else.
    """

    def __init__(self, metadata: Mapping[str, str]) -> None:
        super().__init__(metadata)
        self.cache: dict[object, Any] = {}


def cache_of(metadata: Mapping[str, object]) -> dict[object, Any]:
    """Return the cache of `CachedMetadata`, or an empty one. Cached values must not be changed."""
    return metadata.cache if isinstance(metadata, CachedMetadata) else {}


def parsed_json(metadata: Mapping[str, object], key: str) -> object | None:
    """Return a parsed JSON value, or None if it is absent, too long or not JSON.

    JSON in a JSON string is parsed too. A value that is already parsed is returned as it is.
    """
    cache = cache_of(metadata)
    if key not in cache:
        cache[key] = _parse(metadata.get(key))
    found: object | None = cache[key]
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
    """Return a finite number from a number or its text, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value if not isinstance(value, str) else value[:40])
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole_number(value: object) -> int | None:
    """Return a non-negative integer from a number or its text, or None."""
    found = number(value)
    return int(found) if found is not None and 0 <= found <= _MOST_EXACT else None


def numbers_in(text: str) -> list[float]:
    """Return all numbers in a short text such as `[1e-4, 5e-5]` or `0-875`."""
    found = (number(part) for part in _DECIMALS.findall(text[:400]))
    return [value for value in found if value is not None]


def int_if_whole(value: float | None) -> float | None:
    """Return the same number, as an integer if it is whole: it is shown without a decimal point."""
    if value is None or abs(value) > _MOST_EXACT or not float(value).is_integer():
        return value
    return int(value)
