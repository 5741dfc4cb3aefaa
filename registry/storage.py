"""Blob store: private files on their way in, content-addressed files for ever.

```
<root>/incoming/<private key: 32 hex>     written by one upload only
<root>/blobs/ab/cd/<sha256: 64 hex>       written once, by promotion, never changed
```

A name says which of the two it is by its length. Nothing shared is deleted inline: only the
sweeper deletes blobs, after a grace period without references. A promotion flushes data before
the rename and the directory after it, so that a row that names a digest never precedes its bytes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from registry.errors import StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["CHUNK", "BlobStore", "LocalStore", "Written", "chunks_of", "new_key", "put", "store"]

#: Bytes moved at a time: small enough that the allocator keeps the buffer, so that its pages are
#: not faulted in anew for each chunk (measured: a third of the CPU of 1 MiB).
CHUNK = 256 * 1024

_PRIVATE = re.compile(r"[0-9a-f]{32}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Written:
    """What arrived: length in bytes and sha256 of exactly these bytes."""

    size: int
    sha256: str


class BlobStore(Protocol):
    """Seven verbs. ``name`` is a private key or a digest; absent ones raise FileNotFoundError."""

    def write(self, key: str, chunks: Iterable[bytes], *, offset: int = 0) -> Written:
        """Write under a private key from ``offset`` on and flush to disk."""

    def promote(self, key: str, sha256: str) -> None:
        """Give a private file its content address; a blob already there is kept."""

    def open(self, name: str) -> BinaryIO:
        """Open for reading."""

    def stat(self, name: str) -> int:
        """Return the length in bytes."""

    def path(self, name: str) -> Path | None:
        """Return the local path, or None where bytes are elsewhere."""

    def delete(self, name: str) -> None:
        """Remove; absent names are no error."""

    def names(self) -> Iterator[tuple[str, float]]:
        """Yield every name with its time of change, seconds since the epoch."""


class LocalStore:
    """A directory on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, key: str, chunks: Iterable[bytes], *, offset: int = 0) -> Written:
        """Write under a private key from ``offset`` on and flush to disk."""
        target = self._private(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        sha, size = hashlib.sha256(), 0
        with _refusing_when_full(), _opened_for_writing(target) as handle:
            for chunk in chunks:
                sha.update(chunk)
                _write_all(handle, chunk, offset + size)
                size += len(chunk)
            os.fsync(handle)
        return Written(size=size, sha256=sha.hexdigest())

    def promote(self, key: str, sha256: str) -> None:
        """Give a private file its content address; a blob already there is kept."""
        source, target = self._private(key), self._blob(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.stat().st_size == source.stat().st_size:
            os.utime(target)  # restarts the sweeper's grace period
            source.unlink()
            return
        os.utime(source)  # the sweeper's grace period starts now, not with the first byte
        source.replace(target)
        for folder in (target.parent, target.parent.parent, source.parent):
            _flush_directory(folder)

    def open(self, name: str) -> BinaryIO:
        """Open for reading."""
        return self._of(name).open("rb")

    def stat(self, name: str) -> int:
        """Return the length in bytes."""
        return self._of(name).stat().st_size

    def path(self, name: str) -> Path | None:
        """Return the local path."""
        return self._of(name)

    def delete(self, name: str) -> None:
        """Remove; absent names are no error."""
        self._of(name).unlink(missing_ok=True)

    def names(self) -> Iterator[tuple[str, float]]:
        """Yield every name with its time of change, seconds since the epoch."""
        for folder in ("incoming", "blobs"):
            for path in (self.root / folder).rglob("*"):
                if _PRIVATE.match(path.name) or _DIGEST.match(path.name):
                    with suppress(FileNotFoundError):  # promoted or cancelled meanwhile
                        yield path.name, path.stat().st_mtime

    def _of(self, name: str) -> Path:
        return self._blob(name) if _DIGEST.match(name) else self._private(name)

    def _private(self, key: str) -> Path:
        if not _PRIVATE.match(key):
            msg = f"not a private key: {key[:80]!r}"
            raise ValueError(msg)
        return self.root / "incoming" / key

    def _blob(self, sha256: str) -> Path:
        if not _DIGEST.match(sha256):
            msg = f"not a sha256: {sha256[:80]!r}"
            raise ValueError(msg)
        return self.root / "blobs" / sha256[:2] / sha256[2:4] / sha256


def store() -> BlobStore:
    """Return the configured store (``LORARY_STORAGE``)."""
    return _local(unquote(urlsplit(settings.LORARY.storage).path))


@lru_cache(maxsize=8)
def _local(root: str) -> LocalStore:
    return LocalStore(Path(root))


def new_key() -> str:
    """Return a fresh private key."""
    return secrets.token_hex(16)


def put(chunks: Iterable[bytes]) -> Written:
    """Store bytes made here (a preview, a card) under their digest."""
    key = new_key()
    written = store().write(key, chunks)
    store().promote(key, written.sha256)
    return written


def chunks_of(handle: BinaryIO, size: int = CHUNK) -> Iterator[bytes]:
    """Yield what is left of a stream in pieces of ``size`` bytes."""
    while chunk := handle.read(size):
        yield chunk


@contextmanager
def _opened_for_writing(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _refusing_when_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(_("There is no room for this file now. Try again later.")) from error
        raise


def _write_all(handle: int, chunk: bytes, offset: int) -> None:
    view = memoryview(chunk)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


def _flush_directory(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
