"""Orders and displays names from files."""

from __future__ import annotations

import re

#: Maximum number of characters of an adapter's title.
MAX_TITLE = 120

_DIGITS = re.compile(r"([0-9]+)")
_BETWEEN_WORDS = re.compile(r"[-_.]+")
_SUFFIX = ".safetensors"


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key that puts ``blocks.2`` before ``blocks.10``.

    Numbers are compared by length, then by digits, so that a very long one is never converted.
    """
    parts = _DIGITS.split(name)
    return tuple(
        (len(part.lstrip("0")), part.lstrip("0")) if index % 2 else (0, part)
        for index, part in enumerate(parts)
    )


def stem(path: str) -> str:
    """Return the name of a weights file without its folders and suffix."""
    name = path.rpartition("/")[2]
    return name[: -len(_SUFFIX)] if name.casefold().endswith(_SUFFIX) else name


def title_of(path: str, given: str | None = None) -> str:
    """Return a title for a file: ``hard_noir-v2.safetensors`` → ``Hard noir v2``.

    Names with spaces were written by a person and stay as they are.

    Args:
        given: The title in its metadata, if any; it is often also the name of a file.
    """
    name = (given or "").strip() or stem(path).strip()
    if " " not in name:
        name = _BETWEEN_WORDS.sub(" ", name).strip()
        name = name[:1].upper() + name[1:]
    return name[:MAX_TITLE]
