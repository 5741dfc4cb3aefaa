"""Folders and files that other accounts of the machine do not get into.

Weights of private adapters lie in them, and rows with addresses of people. What exists already
keeps its mode: whoever runs the hub may have decided it, and ``manage.py doctor`` names what is
open.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: For owner and group: a web server that sends files itself is put into the group.
FOLDER = 0o750
FILE = 0o600


def make_folder(path: Path) -> None:
    """Make a folder, unless it is there; those above it are made as any are."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another process was first
            path.mkdir(mode=FOLDER)


def make_file(path: Path) -> None:
    """Make an empty file, unless it is there; one that is there is not even opened."""
    if not path.exists():
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE))


def is_open(path: Path) -> bool:
    """Whether accounts that are neither owner nor in the group may do anything with it."""
    return path.exists() and bool(path.stat().st_mode & 0o007)
