"""Locks that processes hold on files; the system releases them when a process ends."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL_S = 0.05

if sys.platform == "win32":
    import msvcrt

    def _try(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def exclusive(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock at ``path``; wait while another process holds it.

    The file is kept: removing it would let two processes lock two different files of one name.

    Args:
        path: The lock file; created if it is missing.
        on_wait: Called once if another process holds the lock.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try(handle):
            on_wait()
            while not _try(handle):
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def exclusive_now(path: Path) -> Iterator[bool]:
    """Hold the lock at ``path``, unless another process holds it; yield whether it is held."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _try(handle)
    finally:
        os.close(handle)
