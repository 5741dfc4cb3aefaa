"""Whether a hub runs on this data directory, and who has it for himself.

Every web server and worker holds ``running`` in the data directory, shared, for as long as it
lives; the kernel lets go for it, however it ends. Whoever exchanges what is beneath them (store or
rows) takes it for himself, and nobody starts meanwhile. Other machines are known only by the
rows of their workers; backups hold a lock in their folder as well, which others may mount.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.translation import gettext as _

from registry.jobs import selectors as job_selectors
from registry.jobs import workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RUNNING, _COPYING, _FOLDER = "running", "copying", "lock"
#: What ``flock`` says on file systems that have none.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}

#: Held until this process ends, and by those that it forks.
_held: list[int] = []


class Busy(Exception):
    """Somebody else is at what has to be left alone; the text says who, and what to do."""


def enter() -> None:
    """Say that this process serves or works here, until it ends.

    Raises:
        Busy: the hub's store or rows are being exchanged.
    """
    _held.append(_admitted())


def require_admitted() -> None:
    """Raise Busy when ``enter`` would."""
    os.close(_admitted())


@contextmanager
def alone(otherwise: str = "") -> Iterator[None]:
    """Keep every hub away from this data directory.

    Args:
        otherwise: What to do instead of stopping it, a sentence.

    Raises:
        Busy: one runs.
    """
    text = _("The hub is running on this data directory. Stop it and its workers first.")
    handle = _locked(_RUNNING, fcntl.LOCK_EX, f"{text} {otherwise}".strip())
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep other copies away; a hub may run.

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
    """Keep others away from a folder of backups, on other machines as well.

    Yields:
        Whether they are: some file systems have no locks.

    Raises:
        Busy: somebody writes or reads there.
    """
    text = _("Another backup is being made or restored in this folder. Wait until it is finished.")
    handle = os.open(folder / _FOLDER, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _is_taken(handle, fcntl.LOCK_EX, text)
    finally:
        os.close(handle)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Have nothing removed from a folder of backups, as far as this process may hold its lock.

    Raises:
        Busy: a backup is being made there.
    """
    try:
        handle = os.open(folder / _FOLDER, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):  # a copy of the folder, or somebody else's
        yield
        return
    try:
        _is_taken(
            handle, fcntl.LOCK_SH, _("A backup is being made there. Wait until it is finished.")
        )
        yield
    finally:
        os.close(handle)


def require_no_workers() -> None:
    """Raise Busy while a worker anywhere gives signs of life."""
    workers.drop_gone()
    if names := ", ".join(worker.name for worker in job_selectors.alive()):
        text = _("These workers were active in the last %(s)d seconds: %(names)s. Stop them first.")
        raise Busy(text % {"s": job_selectors.ALIVE_S, "names": names})


def _admitted() -> int:
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


def _is_taken(handle: int, kind: int, refusal: str) -> bool:
    """Take the lock of a folder; says whether there is such a thing there."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Busy(refusal) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True
