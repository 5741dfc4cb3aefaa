"""Reading `__metadata__`: every value is text that somebody else wrote."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "base_name",
    "clean",
    "count",
    "decimals",
    "number",
    "parsed",
    "present",
    "redact",
    "shorten",
    "text_of",
    "whole",
]

_MOST_JSON_CHARS = 2 * 1024 * 1024  # parsed JSON takes up to 27 times the space of its text
_MOST_EXACT = 2**53
_ABSENT = frozenset({"", "none", "null", "nan", "undefined"})

INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
"""Control, direction and zero-width characters: they hide or reorder text."""

_SECRET = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{16,}|\bAKIA[0-9A-Z]{12,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\b[Bb]earer [^\s\"']{8,}"
    r"|\b(?:token|access_token|api_key|apikey|secret|password|X-Amz-Signature)[\"']?[=:]\s?[^&\s,\"')]{4,}"
    r"|(?<![0-9A-Za-z])[0-9a-f]{40}(?![0-9A-Za-z])"
)
_PATH = re.compile(
    r"""(?:\bfile://|\b[A-Za-z]:[\\/]|\\\\[\w.-]|(?<![\w:/.~-])~?/(?=[\w.-]+/))[^\s"'<>|,;)\]}]*"""
)
_MAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?=[\w-]{1,63}\.)[\w.-]{1,200}")
_DECIMALS = re.compile(
    r"(?:(?<![\d.])-)?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][-+]?[0-9]{1,3})?"
)
_SEPARATOR = re.compile(r"[\\/]+")
_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".sft")
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_HUB = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/", re.IGNORECASE)


def clean(text: str, most: int = 200) -> str:
    """Text without invisible characters, on one line, at most `most` characters long."""
    bare = INVISIBLE.sub("", text[: 4 * most])
    return shorten(" ".join(bare.split()), most)


def shorten(text: str, most: int) -> str:
    """Text cut to `most` characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def redact(text: str) -> str:
    """Text without what looks like a token or an e-mail address, and with paths cut short."""
    if "@" in text:
        text = _MAIL.sub("[e-mail removed]", text)
    if "/" in text or "\\" in text:
        text = _PATH.sub(lambda found: base_name(found[0]), text)
    return _SECRET.sub("[removed]", text)


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
    """The first text that is there; trainers write `None` and empty texts for absent ones."""
    for key in keys:
        value = metadata.get(key)
        if isinstance(value, str) and value[:16].strip().lower() not in _ABSENT:
            found = clean(value, most)
            if found:
                return found
    return None


def text_of(metadata: Mapping[str, object], key: str) -> str:
    """A value as it stands in the file; JSON again when somebody had parsed it already."""
    value = metadata.get(key)
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def parsed(metadata: Mapping[str, object], key: str) -> object | None:
    """A value that should be JSON, or None when it is absent, too large or no JSON.

    JSON inside a JSON text is opened too, and what somebody had parsed already is taken as it is.
    """
    value = metadata.get(key)
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
