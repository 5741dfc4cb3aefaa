"""Finds the files that command-line arguments refer to."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from lorary.cli.command import UsageError

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
    """Walk through a folder and its subfolders, following links, and visit each folder once."""
    found: list[Found] = []
    seen: set[tuple[int, int]] = set()
    waiting = [(root, "")]
    while waiting:
        folder, below = waiting.pop()
        try:
            facts = folder.stat()
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            with os.scandir(folder) as listing:
                entries = list(listing)
        except OSError as error:
            found.append(
                Found(
                    str(folder), f"{below.rstrip('/') or folder.name}/", is_listed=True, error=error
                )
            )
            continue
        for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
            if _is_folder(entry):
                waiting.append((folder / entry.name, f"{below}{entry.name}/"))
            elif entry.name.lower().endswith(SUFFIX):
                found.append(Found(entry.path, f"{below}{entry.name}", is_listed=True))
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
