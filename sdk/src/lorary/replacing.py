"""Files that are written beside their place and then renamed, so that nobody sees half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

#: A path as callers give it.
StrPath = str | os.PathLike[str]


@contextlib.contextmanager
def replacement(target: Path) -> Iterator[Path]:
    """Yield the path of a new file beside ``target``, which takes its place at the end.

    After an error the new file is removed, and ``target`` is as before.
    """
    part = _part(target.parent)
    try:
        yield part
        part.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def require_writable(folder: Path) -> None:
    """Create and remove a file in a folder. Raises OSError: that is not possible."""
    probe = _part(folder)
    probe.touch()
    probe.unlink()


#: Bytes after which `Writeback` tells the disk to write.
_WRITEBACK_BYTES = 2 * 1024 * 1024


class Writeback:
    """Makes the disk write a file while it grows, so that `os.fsync` has little left to wait for.

    Linux starts to write the pages of a section that is said not to be needed, and keeps them until
    they are written (posix_fadvise(2)). Elsewhere nothing happens.

    Args:
        handle: Descriptor of the open file.
        begin: Position of the first byte that will be written.
    """

    def __init__(self, handle: int, begin: int = 0) -> None:
        self._handle, self._told = handle, begin

    def reached(self, end: int) -> None:
        """Record where the written bytes end now. A lower end than before restarts the count."""
        if 0 <= end - self._told < _WRITEBACK_BYTES:
            return
        if sys.platform == "linux" and end > self._told:
            with contextlib.suppress(OSError):
                section = (self._told, end - self._told)
                os.posix_fadvise(self._handle, *section, os.POSIX_FADV_DONTNEED)
        self._told = end


def _part(folder: Path) -> Path:
    return folder / f".lorary-{secrets.token_hex(6)}.part"
