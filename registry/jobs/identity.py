"""Names of worker processes, and which of them are known to be dead.

A name has a random part, as host names and process ids repeat: containers often share both. A
worker locks a file with its name until it ends. So a worker is known to be dead if its file is
there and not locked; about workers with other data directories only their leases tell.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import time
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from pathlib import Path

#: Minimum seconds between the start of a worker and the deletion of its file.
KEPT_S = 3600.0

#: Open files of the locks that this process holds until it ends.
_held: list[int] = []


@cache
def worker_name() -> str:
    """Return ``host-random:pid`` of this process, the owner in rows; a fork gets a new one."""
    return f"{_host()}-{secrets.token_hex(4)}:{os.getpid()}"


os.register_at_fork(after_in_child=worker_name.cache_clear)


def announce() -> None:
    """Lock the file of this process, so that other workers of this machine notice its end."""
    _folder().mkdir(parents=True, exist_ok=True)
    handle = os.open(_folder() / worker_name(), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)  # another process may test the lock at this moment
    _held.append(handle)


def is_dead(worker: str) -> bool:
    """Whether a worker of this name is known to be dead. Unknown for other data directories."""
    is_here = worker.startswith(f"{_host()}-") and worker != worker_name()
    return is_here and _is_free(_folder() / worker)


def forget_dead() -> None:
    """Delete the files of workers that started long ago and are dead."""
    oldest = time.time() - KEPT_S
    for file in _folder().glob("*:*"):
        if file.name != worker_name() and _is_free(file) and file.stat().st_mtime < oldest:
            file.unlink(missing_ok=True)


def _is_free(file: Path) -> bool:
    """Whether a file is there and no process holds its lock."""
    try:
        handle = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _folder() -> Path:
    return settings.LORARY.data / "workers"


def _host() -> str:
    return socket.gethostname()
