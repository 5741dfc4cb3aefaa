"""Locks between the processes of one host, for bytes that rows alone cannot protect.

Many requests may write an upload under its key at once (shared lock), and one completes it
(exclusive lock), so that no late writer changes hashed bytes. The kernel releases a lock when its
process dies. Web servers on several hosts need a file system with working ``flock`` (local, NFSv4),
or a bucket, which seals complete files; rows decide who may change the bytes of a digest
(``registry.blobs.promote``).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from registry.errors import Conflict

#: Seconds to wait for other processes before giving up.
WAIT_S = 10.0


def folder() -> Path:
    """Return the folder of the lock files."""
    place = settings.LORARY.data / "locks"
    place.mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def holding(name: str, *, is_shared: bool = False, wait_s: float | None = None) -> Iterator[None]:
    """Hold the lock of a private key.

    Args:
        name: The key; each key has its own file.
        is_shared: Whether other processes may hold it shared at the same time.
        wait_s: Seconds to wait for others; ``WAIT_S`` by default.

    Raises:
        Conflict: others did not release the lock in that time.
    """
    until = time.monotonic() + (WAIT_S if wait_s is None else wait_s)
    handle = os.open(folder() / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(handle, fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX, until)
        yield
    finally:
        os.close(handle)


def _take(handle: int, kind: int, until: float) -> None:
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                text = _("Another request is still sending bytes of this file. Try again soon.")
                raise Conflict(text) from error
            time.sleep(0.05)
        else:
            return
