"""Names from files, ordered and written for people."""

from __future__ import annotations

import re

__all__ = ["natural", "stem", "title_of"]

#: Characters of an adapter's title.
MAX_TITLE = 120

_DIGITS = re.compile(r"([0-9]+)")
_BETWEEN_WORDS = re.compile(r"[-_.]+")
_SUFFIX = ".safetensors"


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key by which ``blocks.2`` comes before ``blocks.10``.

    Numbers are compared by length, then by digits, so that a hostile one is never converted.
    """
    parts = _DIGITS.split(name)
    return tuple(
        (len(part.lstrip("0")), part.lstrip("0")) if place % 2 else (0, part)
        for place, part in enumerate(parts)
    )


def stem(path: str) -> str:
    """Return the name of a weights file without folders and suffix."""
    name = path.rpartition("/")[2]
    return name[: -len(_SUFFIX)] if name.casefold().endswith(_SUFFIX) else name


def title_of(path: str, given: str | None = None) -> str:
    """Return a title for a file, ``hard_noir-v2.safetensors`` → ``Hard noir v2``.

    What has spaces was written by a person and stays as it is.

    Args:
        path: Of the file.
        given: The title that its metadata gives, if any; it is often a file's name as well.
    """
    name = (given or "").strip() or stem(path).strip()
    if " " not in name:
        name = _BETWEEN_WORDS.sub(" ", name).strip()
        name = name[:1].upper() + name[1:]
    return name[:MAX_TITLE]
