"""Thumbnails: pictures at smaller widths, created on the first request and cached on disk.

They can be created again at any time, so they have no rows and are not in backups. Each machine has
its own cache, ``<data>/thumbnails``, with a folder for each two-digit prefix of digests. A folder
that is full loses its oldest files, and all folders lose files older than ``MAX_AGE_DAYS``, so that
thumbnails of deleted pictures are not kept for long. The sweeper deletes those of its own machine.
"""

from __future__ import annotations

import io
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from django.conf import settings

from previews.derived import encoded, opened
from previews.pictures.services import bytes_of
from registry.local_files import make_folder
from registry.models import Blob

MAX_AGE_DAYS = 30
#: Number of folders.
FOLDERS = 256
#: Maximum number of pictures that a process encodes at once; each takes up to 100 MB.
MAX_ENCODED = 2
#: Maximum seconds that a request waits for its turn to encode.
WAIT_S = 2.0

log = logging.getLogger(__name__)
_turns = threading.BoundedSemaphore(MAX_ENCODED)


class Busy(Exception):
    """Other pictures are being encoded."""


def open_thumbnail(sha256: str, *, kind: str, width: int) -> BinaryIO:
    """Return a thumbnail of the picture with a digest; create it unless it is cached.

    Raises:
        Busy: it has to be created, and other pictures are being encoded.
        FileNotFoundError: the store does not have the picture.
        Unreadable: it is not a picture.
    """
    file = root() / sha256[:2] / f"{sha256}-{width}.{kind}"
    try:
        return file.open("rb")
    except FileNotFoundError:
        data = _made(sha256, kind, width)
    try:
        _save(file, data)
    except OSError as error:  # pictures are shown even if the disk is full
        log.warning("the thumbnail %s is not cached: %s", file, error)
    return io.BytesIO(data)


def delete_orphans(*, is_dry: bool) -> tuple[int, int]:
    """Delete thumbnails of pictures that are no longer stored; return their number and bytes."""
    files = size = 0
    for folder in sorted(root().iterdir()) if root().exists() else ():
        of = defaultdict[str, list[_File]](list)
        for file in _files(folder):
            of[file.path.name.partition("-")[0]].append(file)
        stored = Blob.objects.filter(sha256__in=list(of), is_stored=True)
        for digest in of.keys() - {*stored.values_list("sha256", flat=True)}:
            for file in of[digest]:
                files, size = files + 1, size + file.size
                if not is_dry:
                    file.path.unlink(missing_ok=True)
    return files, size


def root() -> Path:
    """Return the folder of this machine's thumbnails."""
    folder: Path = settings.LORARY.data / "thumbnails"
    return folder


class _File(NamedTuple):
    changed: float
    size: int
    path: Path


def _files(folder: Path) -> Iterator[_File]:
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # another process deleted it
            status = entry.stat()
            yield _File(status.st_mtime, status.st_size, Path(entry.path))


def _made(sha256: str, kind: str, width: int) -> bytes:
    if not _turns.acquire(timeout=WAIT_S):
        raise Busy
    try:
        return encoded(opened(bytes_of(sha256)), kind, width)
    finally:
        _turns.release()


def _save(file: Path, data: bytes) -> None:
    """Write a file atomically, and make room for it."""
    make_folder(root())
    make_folder(file.parent)
    draft = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        draft.write_bytes(data)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    _trim(file.parent)


def _trim(folder: Path) -> None:
    """Delete the files of a folder that are too old, or too many, oldest first."""
    oldest = time.time() - MAX_AGE_DAYS * 86_400
    room = settings.LORARY.thumbnail_bytes // FOLDERS
    for file in sorted(_files(folder), reverse=True):
        room -= file.size
        if room < 0 or file.changed < oldest:
            file.path.unlink(missing_ok=True)
