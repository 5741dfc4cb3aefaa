"""Writes that must survive a power failure."""

from __future__ import annotations

import os
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
