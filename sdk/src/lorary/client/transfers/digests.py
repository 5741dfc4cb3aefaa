"""SHA-256 of files, a mebibyte at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

BLOCK_BYTES = 1024 * 1024


def feed(digest: _Hash, file: FileIO, on_bytes: Callable[[int], None] | None = None) -> int:
    """Hash an open, unbuffered file from where it stands to its end.

    Args:
        digest: Takes the bytes.
        on_bytes: Told how many bytes have been read, after each block.

    Returns:
        Number of bytes read.
    """
    view = memoryview(bytearray(BLOCK_BYTES))
    total = 0
    while count := file.readinto(view):
        digest.update(view[:count])
        total += count
        if on_bytes is not None:
            on_bytes(total)
    return total


def digest_file(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """Return the sha256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with FileIO(path, "r") as file:
        feed(digest, file, on_bytes)
    return digest.hexdigest()
