"""Locks that processes hold on files; the system releases them when a process ends."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: Seconds between two tries: the first pause, which doubles, and the longest one.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.05
#: Seconds after which a wait is worth a message.
_NOTICEABLE_S = 0.2

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
        on_wait: Called once if that takes longer than a moment.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait(handle, on_wait)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, on_wait: Callable[[], None]) -> None:
    # A lock that waits in the system could not be interrupted in a thread.
    pause, waited = _FIRST_PAUSE_S, 0.0
    while not _try(handle):
        if waited < _NOTICEABLE_S <= waited + pause:
            on_wait()
        time.sleep(pause)
        waited += pause
        pause = min(2 * pause, _LONGEST_PAUSE_S)


@contextlib.contextmanager
def exclusive_now(path: Path) -> Iterator[bool]:
    """Hold the lock at ``path``, unless another process holds it; yield whether it is held."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _try(handle)
    finally:
        os.close(handle)
