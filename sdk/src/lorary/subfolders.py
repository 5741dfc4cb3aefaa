"""Lists a folder and its subfolders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: Folder for copies that `lorary tidy` takes away; no command looks into it.
TRASH = ".lorary-trash"


class Listed(NamedTuple):
    """A folder, and the sorted names of the files in it.

    Attributes:
        names: Links to files and broken links are among them.
        error: Why it cannot be listed; None if it was.
    """

    folder: Path
    names: tuple[str, ...]
    error: OSError | None = None


def listed(root: Path, seen: set[tuple[int, int]] | None = None) -> Iterator[Listed]:
    """Yield a folder and its subfolders, each before its own, in the order of their names.

    Links are followed, each folder is listed once, and what `lorary tidy` took away is left out.

    Args:
        seen: Devices and inodes of folders that are listed already; those of this call are added.
    """
    seen = set() if seen is None else seen
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            facts = folder.stat()
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted((entry.name, is_folder(entry)) for entry in listing)
        except OSError as error:
            yield Listed(folder, (), error)
            continue
        yield Listed(folder, tuple(name for name, is_below in entries if not is_below))
        below = [folder / name for name, is_below in entries if is_below and name != TRASH]
        waiting += reversed(below)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one; a broken link is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False
