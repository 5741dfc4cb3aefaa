"""Where bytes come from: memory or an open file, read at any place.

The header reader needs two reads only (the length and the header), so anything that answers
`read_at` will do, a ranged URL included.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable


@runtime_checkable
class Source(Protocol):
    """Random access to the bytes of one file."""

    @property
    def size_bytes(self) -> int:
        """Size of the whole file, whether or not all of it is at hand."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes `[offset, offset + size)`, fewer where they are not at hand."""


class BytesSource:
    """The first bytes of a file, or all of them, in memory."""

    __slots__ = ("_data", "_size")

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self._data = data
        self._size = len(data) if size is None else size

    @property
    def size_bytes(self) -> int:
        """Declared size of the whole file."""
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes at `offset`, fewer past the end of what is in memory."""
        return self._data[offset : offset + size]


class FileSource:
    """A seekable binary file; its position is moved."""

    __slots__ = ("_file", "_size")

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)

    @property
    def size_bytes(self) -> int:
        """Size of the file when it was wrapped."""
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes at `offset`, fewer past the end of the file."""
        self._file.seek(offset)
        return self._file.read(size)


class _OpenSource:
    """A file that was opened here: read without moving a position, one system call a read."""

    __slots__ = ("_descriptor", "_size")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    @property
    def size_bytes(self) -> int:
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)

    def read_each(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        return list(map(os.pread, repeat(self._descriptor), sizes, offsets))


@contextmanager
def open_source(place: str | os.PathLike[str] | BinaryIO | Source) -> Iterator[Source]:
    """Give random access to a path, an open binary file or a source.

    Args:
        place: A path is opened and closed again; anything else is left open.

    Raises:
        OSError: The path cannot be opened.
    """
    if isinstance(place, (str, os.PathLike)):
        # Unbuffered: the reads are few and large, and a buffer would read 8 KiB per alpha.
        with Path(place).open("rb", buffering=0) as raw:
            # Windows has no positioned read.
            yield _OpenSource(raw.fileno()) if hasattr(os, "pread") else FileSource(raw)
    elif isinstance(place, Source):
        yield place
    else:
        yield FileSource(place)


def read_each(source: Source, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
    """Bytes at many places, fewer where they are not at hand.

    Args:
        sizes: How much to read at each.
    """
    if isinstance(source, _OpenSource):
        return source.read_each(offsets, sizes)  # a call of ours takes as long as the system's
    return list(map(source.read_at, offsets, sizes))
