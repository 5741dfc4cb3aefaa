"""Local files: private folders and files, and writes that survive a power failure.

Private ones contain weights and e-mail addresses, which other users of the machine cannot read.
Existing ones keep their mode, which an administrator may have chosen; ``manage.py doctor`` lists
those that are open.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def flush(path: Path) -> int:
    """Flush a file's bytes or a folder's names to the disk, and return its inode.

    Raises:
        FileNotFoundError: it does not exist.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        return os.fstat(handle).st_ino
    finally:
        os.close(handle)


#: For owner and group, because a web server that sends files itself is in the group.
FOLDER = 0o750
FILE = 0o600


def make_folder(path: Path) -> None:
    """Create a folder unless it exists; its parents get the default mode."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another process created it
            path.mkdir(mode=FOLDER)


def make_file(path: Path) -> None:
    """Create an empty file unless it exists."""
    if not path.exists():
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE))


def is_open(path: Path) -> bool:
    """Whether users other than the owner and the group have access."""
    return path.exists() and bool(path.stat().st_mode & 0o007)
