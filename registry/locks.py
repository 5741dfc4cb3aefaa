"""Locks between the processes of one host, for bytes that rows alone cannot guard.

An upload is written under its key by many requests at once (shared) and completed by one
(exclusive), so that no late writer changes bytes that were hashed. The kernel frees a lock when its
process dies. Web servers on several hosts need a file system with working ``flock`` (local, NFSv4),
or a bucket, which seals what is complete; who may touch the bytes of a digest is decided by rows
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

#: Seconds to wait for others before giving up.
WAIT_S = 10.0


def folder() -> Path:
    """Return where the lock files lie."""
    place = settings.LORARY.data / "locks"
    place.mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def holding(name: str, *, is_shared: bool = False, wait_s: float | None = None) -> Iterator[None]:
    """Hold the lock of a private key.

    Args:
        name: The key; each has a file of its own.
        is_shared: Others may hold it shared at the same time.
        wait_s: Seconds to wait for others, ``WAIT_S`` if not given.

    Raises:
        Conflict: others did not let go in that time.
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
