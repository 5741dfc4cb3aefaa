"""Finds the files that arguments of the command line name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from lorary.cli.command import UsageError

SUFFIX = ".safetensors"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # of any kind: what cannot be read says so


class Found(NamedTuple):
    """A place to look into.

    Attributes:
        place: Path of a file, or an address.
        name: Its name in results: of a folder's file the path below the folder, else the last
            part.
        is_url: It is an address.
        is_listed: It is one of a folder's.
        error: Why it cannot be looked into, None when nothing is known against it.
    """

    place: str
    name: str
    is_url: bool = False
    is_listed: bool = False
    error: OSError | None = None


def find(place: str) -> list[Found]:
    """Return what a word of the command line stands for.

    Args:
        place: A file, a folder (every .safetensors file in it and below, sorted), or an address.

    Raises:
        UsageError: It is standard input.
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
    """Look through a folder and all below, through links too, into each folder once."""
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
