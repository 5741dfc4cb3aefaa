"""Locks on the data directory: whether a hub runs on it, and exclusive access to it.

Every web server and worker holds a shared lock on the file ``running`` in the data directory; the
kernel releases it when the process ends. A command that replaces the store or the database locks it
exclusively, so that no process starts meanwhile. Processes of other machines are only known by the
rows of their workers. Backups also lock their folder, which other machines may mount.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from registry.jobs import selectors as job_selectors
from registry.jobs import workers

_RUNNING, _COPYING, _FOLDER = "running", "copying", "lock"
#: Errors of ``flock`` on file systems without locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}

#: Held until this process ends, and by processes that it forks.
_held: list[int] = []


class Busy(Exception):
    """Another process uses the data, as the message says."""


def hold() -> None:
    """Lock the data directory as a web server or worker, until the process ends.

    Raises:
        Busy: the hub's store or database is being replaced.
    """
    _held.append(_shared_lock())


def require_free() -> None:
    """Raise Busy if ``hold`` would."""
    os.close(_shared_lock())


@contextmanager
def exclusive(otherwise: str = "") -> Iterator[None]:
    """Prevent hubs from starting on this data directory.

    Args:
        otherwise: A sentence with an alternative to stopping the hub.

    Raises:
        Busy: a hub runs.
    """
    text = _("The hub is running on this data directory. Stop it and its workers first.")
    handle = _locked(_RUNNING, fcntl.LOCK_EX, f"{text} {otherwise}".strip())
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def one_copy_only() -> Iterator[None]:
    """Prevent other copies and backups; a hub may run.

    Raises:
        Busy: another copy or backup is being made.
    """
    text = _("Another copy or backup of this hub is being made. Wait until it is finished.")
    handle = _locked(_COPYING, fcntl.LOCK_EX, text)
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def writing(folder: Path) -> Iterator[bool]:
    """Lock a folder of backups exclusively, for other machines as well.

    Yields:
        Whether it is locked; some file systems have no locks.

    Raises:
        Busy: another process writes or reads there.
    """
    text = _("Another backup is being made or restored in this folder. Wait until it is finished.")
    handle = os.open(folder / _FOLDER, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _has_locked(handle, fcntl.LOCK_EX, text)
    finally:
        os.close(handle)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Lock a folder of backups for reading, if this process may open its lock file.

    Raises:
        Busy: a backup is being made there.
    """
    try:
        handle = os.open(folder / _FOLDER, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):  # a copy of the folder, or one of another user
        yield
        return
    try:
        _has_locked(
            handle, fcntl.LOCK_SH, _("A backup is being made there. Wait until it is finished.")
        )
        yield
    finally:
        os.close(handle)


def require_no_workers() -> None:
    """Raise Busy if a worker on any machine is alive."""
    workers.drop_gone()
    if names := ", ".join(worker.name for worker in job_selectors.alive()):
        text = _("These workers were active in the last %(s)d seconds: %(names)s. Stop them first.")
        raise Busy(text % {"s": job_selectors.ALIVE_S, "names": names})


def _shared_lock() -> int:
    text = _("The files or rows of this hub are being moved or restored. Start it afterwards.")
    return _locked(_RUNNING, fcntl.LOCK_SH, text)


def _locked(name: str, kind: int, refusal: str) -> int:
    handle = os.open(settings.LORARY.data / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise Busy(refusal) from error
    return handle


def _has_locked(handle: int, kind: int, refusal: str) -> bool:
    """Lock a folder; return False if its file system has no locks."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Busy(refusal) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True
