"""Finds the files that command-line arguments refer to."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from lorary.cli.command import UsageError
from lorary.subfolders import listed

SUFFIX = ".safetensors"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # any scheme; read errors come later


class Found(NamedTuple):
    """A file or URL to inspect.

    Attributes:
        place: Path of a file, or a URL.
        name: Its name in results: for a file of a folder the path below the folder, otherwise the
            last part.
        is_url: Whether it is a URL.
        is_listed: Whether it was found in a folder.
        error: Why it cannot be read; None if no error is known.
    """

    place: str
    name: str
    is_url: bool = False
    is_listed: bool = False
    error: OSError | None = None


def find(place: str) -> list[Found]:
    """Return the files and URLs that an argument refers to.

    Args:
        place: A file, a folder (every .safetensors file in it and below, sorted), or a URL.

    Raises:
        UsageError: it is standard input.
    """
    if place == "-":
        message = "standard input cannot be inspected: save it as a file first"
        raise UsageError(message)
    if _ADDRESS.match(place):
        return [Found(place, place, is_url=True)]
    if not os.path.isdir(place):  # noqa: PTH112 - a name with a zero byte is no folder, and no error
        return [Found(place, os.path.basename(place))]  # noqa: PTH119 - text, not a path
    return sorted(_walk(Path(place)), key=lambda found: found.name.split("/"))


def _walk(root: Path) -> list[Found]:
    found: list[Found] = []
    for folder, names, error in listed(root):
        below = folder.relative_to(root).as_posix()
        if error is not None:
            name = folder.name if below == "." else below
            found.append(Found(str(folder), f"{name}/", is_listed=True, error=error))
            continue
        found += [
            Found(str(folder / name), name if below == "." else f"{below}/{name}", is_listed=True)
            for name in names
            if name.lower().endswith(SUFFIX)
        ]
    return found
