"""The interface of a blob store, and its values."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, overload

from django.utils.translation import gettext as _

from registry.errors import StorageFull

#: Bytes moved at a time. The allocator reuses buffers of this size, so that their pages are not
#: faulted in again for each chunk (measured: a third of the CPU of 1 MiB).
CHUNK = 256 * 1024

_PRIVATE = re.compile(r"[0-9a-f]{32}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Written:
    """Length in bytes and sha256 of exactly the bytes that were written."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file: its number from 1, its offset and its length in bytes.

    ``tag`` is what ``write`` returned for it, "" if unknown: then the newest part with this number
    counts.
    """

    number: int
    offset: int
    size: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Fetch:
    """How a link serves a file: content type, Content-Disposition and lifetime."""

    content_type: str = "application/octet-stream"
    disposition: str = ""
    seconds: int = 300


class Entry(NamedTuple):
    """An entry of a listing.

    ``changed`` is in seconds since the epoch. ``number`` and ``tag`` are set for a part that is not
    yet joined. ``is_partial`` marks something incomplete: not joined, or left from a copy.
    """

    name: str
    changed: float
    size: int
    number: int = 0
    tag: str = ""
    is_partial: bool = False


class Handle(io.BufferedReader):
    """Stored bytes, open for reading. ``size`` is their total length in bytes."""

    def __init__(self, raw: io.RawIOBase, size: int) -> None:
        super().__init__(raw, CHUNK)
        self.size = size


class BlobStore(Protocol):
    """A place for blobs.

    A ``key`` is private to whoever created it; a ``name`` is a key or a digest. Missing files raise
    FileNotFoundError, an unreachable store raises StorageAway, and a full one StorageFull.
    """

    def write(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        part: Part | None = None,
        is_durable: bool = True,
    ) -> str:
        """Write a whole file, or one part of it, under a private key; durable when it returns.

        With ``is_durable`` False a power failure may lose it, which saves a flush of a local disk.
        Parts may come in any order, at the same time, and repeatedly. If ``chunks`` raises, the
        file or part must be written again.

        Returns:
            The store's tag for ``Part.tag``; "" if it has none.

        Raises:
            FileExistsError: the file is complete (only where ``assemble`` seals).
        """

    def assemble(self, key: str, parts: Sequence[Part]) -> None:
        """Join the parts to one file that can be opened. Joining them again does nothing.

        Raises:
            UploadIncomplete: ``facts["missing"]`` lists the parts that are missing or too short.
            SizeMismatch: a part is too long.
        """

    def promote(self, key: str, sha256: str) -> None:
        """Give a private file its content address, replacing a blob with the same address.

        The caller has just read these bytes; those of the existing blob may be damaged. The blob is
        replaced atomically, readers of the old one are not disturbed, and the private file is gone
        afterwards.
        """

    def open(self, name: str) -> Handle:
        """Open for reading at any offset."""

    @overload
    def link(self, name: str, way: Fetch) -> Path | str | None: ...
    @overload
    def link(self, name: str, way: Part) -> str | None: ...
    def link(self, name: str, way: Fetch | Part) -> Path | str | None:
        """Return where other programs fetch a file, or send a part of one, without this process.

        To fetch: a path on this machine, or a temporary URL. To send a part: a URL to PUT exactly
        its bytes to. None if everything goes through this process. The file may not exist: nothing
        is looked up.

        Raises:
            FileExistsError: the file is complete and takes no more parts.
        """

    def delete(self, name: str, *, is_partial: bool = False) -> None:
        """Delete a file, joined or in parts. Missing files are not an error.

        Args:
            is_partial: Delete only what is incomplete of it.
        """

    def names(self, key: str = "") -> Iterator[Entry]:
        """Yield all entries, or those of one private key, such as its parts.

        Parts that were replaced may be listed too.
        """


class Measured:
    """Counts and hashes chunks as they pass."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks, self.size, self._sha = chunks, 0, hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self._sha.update(chunk)
            self.size += len(chunk)
            yield chunk

    @property
    def written(self) -> Written:
        """What has passed so far."""
        return Written(self.size, self._sha.hexdigest())


def new_key() -> str:
    """Return a new private key."""
    return secrets.token_hex(16)


@contextmanager
def refuse_when_full() -> Iterator[None]:
    """Turn the errors of a full disk into StorageFull.

    Raises:
        StorageFull: the disk has no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(_("The storage is full. Try again later.")) from error
        raise


def is_key(name: str) -> bool:
    """Whether a name has the form of a private key."""
    return _PRIVATE.match(name) is not None


def is_digest(name: str) -> bool:
    """Whether a name has the form of a sha256."""
    return _DIGEST.match(name) is not None


def check_key(key: str) -> str:
    """Return a private key.

    Raises:
        ValueError: it isn't one.
    """
    if not is_key(key):
        msg = f"not a private key: {key[:80]!r}"
        raise ValueError(msg)
    return key


def check_digest(sha256: str) -> str:
    """Return a digest.

    Raises:
        ValueError: it isn't one.
    """
    if not is_digest(sha256):
        msg = f"not a sha256: {sha256[:80]!r}"
        raise ValueError(msg)
    return sha256


def chunks_of(handle: BinaryIO, size: int = CHUNK) -> Iterator[bytes]:
    """Yield the rest of a stream in chunks of ``size`` bytes."""
    while chunk := handle.read(size):
        yield chunk
