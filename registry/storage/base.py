"""What a blob store does, and the values that pass through it."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, overload

from django.utils.translation import gettext as _

from registry.errors import StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

__all__ = [
    "CHUNK",
    "BlobStore",
    "Entry",
    "Fetch",
    "Handle",
    "Measured",
    "Part",
    "Written",
    "check_digest",
    "check_key",
    "chunks_of",
    "is_digest",
    "is_key",
    "new_key",
    "refusing_when_full",
]

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


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a file: its number from 1 on, where it begins and its length, in bytes.

    ``tag`` is what ``write`` called it, "" where that is not known: of what was sent under this
    number, the newest counts then.
    """

    number: int
    offset: int
    size: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Fetch:
    """How a link hands out a file: as what, under which Content-Disposition, for how long."""

    content_type: str = "application/octet-stream"
    disposition: str = ""
    seconds: int = 300


class Entry(NamedTuple):
    """A line of a listing.

    ``changed`` is seconds since the epoch. ``number`` and ``tag`` are those of a part which is
    not yet joined with the others. ``is_partial`` says that something is not complete: it was not
    joined, or is the rest of a copy.
    """

    name: str
    changed: float
    size: int
    number: int = 0
    tag: str = ""
    is_partial: bool = False


class Handle(io.BufferedReader):
    """Stored bytes, open for reading; ``size`` is the length of them all in bytes."""

    def __init__(self, raw: io.RawIOBase, size: int) -> None:
        super().__init__(raw, CHUNK)
        self.size = size


class BlobStore(Protocol):
    """Seven verbs.

    A ``key`` is private to whoever made it up, a ``name`` is a key or a digest. What is absent
    raises FileNotFoundError, what is out of reach StorageAway, and where there is no room
    StorageFull.
    """

    def write(self, key: str, chunks: Iterable[bytes], *, part: Part | None = None) -> str:
        """Write a whole file, or one part of it, under a private key; safe when it returns.

        Parts come in any order, at once, and again. If ``chunks`` raises, what was written of
        them counts for nothing: the file, or the part, has to be written again.

        Returns:
            What the store calls what was written, for ``Part.tag``; "" where it has no name.

        Raises:
            FileExistsError: the file is complete and takes no more (only where ``assemble`` seals).
        """

    def assemble(self, key: str, parts: Sequence[Part]) -> None:
        """Join the parts to one file that can be opened; once done, done again it does nothing.

        Raises:
            UploadIncomplete: ``facts["missing"]`` lists numbers of parts that are absent or short.
            SizeMismatch: a part has more bytes than it may have.
        """

    def promote(self, key: str, sha256: str) -> None:
        """Give a private file its content address; it takes the place of a blob already there.

        Whoever promotes has just read these bytes; those that were there may have been damaged. The
        blob is there as a whole or not at all, who reads it meanwhile reads on, and afterwards the
        private file is not.
        """

    def open(self, name: str) -> Handle:
        """Open for reading at any place."""

    @overload
    def link(self, name: str, way: Fetch) -> Path | str | None: ...
    @overload
    def link(self, name: str, way: Part) -> str | None: ...
    def link(self, name: str, way: Fetch | Part) -> Path | str | None:
        """Say where others get a file, or bring a part of one, without this process.

        To fetch: a path on this machine, or an address that is good for some time. To bring a
        part: an address to PUT exactly its bytes to. None where all goes through this process.
        Nothing is looked up: there may be no such file.

        Raises:
            FileExistsError: the file is complete and takes no more parts.
        """

    def delete(self, name: str, *, is_partial: bool = False) -> None:
        """Remove a file, whether complete or in parts; absent ones are no error.

        Args:
            name: What to remove.
            is_partial: Only what is not complete of it.
        """

    def names(self, key: str = "") -> Iterator[Entry]:
        """Yield everything that is here, or what there is of one private key: its parts.

        Of parts that were sent again, what they replaced may be listed, too.
        """


class Measured:
    """Chunks that are counted and hashed as they pass."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks, self.size, self._sha = chunks, 0, hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self._sha.update(chunk)
            self.size += len(chunk)
            yield chunk

    @property
    def written(self) -> Written:
        """What passed so far."""
        return Written(self.size, self._sha.hexdigest())


def new_key() -> str:
    """Return a fresh private key."""
    return secrets.token_hex(16)


@contextmanager
def refusing_when_full() -> Iterator[None]:
    """Say clearly that a disk has no room.

    Raises:
        StorageFull: it has none.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(_("There is no room for this file now. Try again later.")) from error
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
        ValueError: it is none.
    """
    if not is_key(key):
        msg = f"not a private key: {key[:80]!r}"
        raise ValueError(msg)
    return key


def check_digest(sha256: str) -> str:
    """Return a digest.

    Raises:
        ValueError: it is none.
    """
    if not is_digest(sha256):
        msg = f"not a sha256: {sha256[:80]!r}"
        raise ValueError(msg)
    return sha256


def chunks_of(handle: BinaryIO, size: int = CHUNK) -> Iterator[bytes]:
    """Yield what is left of a stream in pieces of ``size`` bytes."""
    while chunk := handle.read(size):
        yield chunk
