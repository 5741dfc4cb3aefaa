"""Sources of bytes: memory or an open file, read at any offset.

The header reader needs only two reads (the length and the header), so any object with `read_at`
works, including a URL that supports ranges.
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
        """Return the size of the whole file, whether or not all of it is available."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the bytes `[offset, offset + size)`; fewer if they are not available."""


class BytesSource:
    """The first bytes of a file, or the whole file, in memory."""

    __slots__ = ("_data", "_size")

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self._data = data
        self._size = len(data) if size is None else size

    @property
    def size_bytes(self) -> int:
        """Return the declared size of the whole file."""
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes at `offset`; fewer at the end of the data in memory."""
        return self._data[offset : offset + size]


class FileSource:
    """A seekable binary file; reading moves its position."""

    __slots__ = ("_file", "_size")

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)

    @property
    def size_bytes(self) -> int:
        """Return the size of the file when it was wrapped."""
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes at `offset`; fewer at the end of the file."""
        self._file.seek(offset)
        return self._file.read(size)


class _OpenSource:
    """A file opened by this module; each read is one system call and moves no position."""

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
    """Return random access to a path, an open binary file or a source.

    Args:
        place: A path is opened and closed again; anything else is left open.

    Raises:
        OSError: The path cannot be opened.
    """
    if isinstance(place, (str, os.PathLike)):
        # Unbuffered: there are few large reads, and a buffer would read 8 KiB per alpha.
        with Path(place).open("rb", buffering=0) as raw:
            # Windows has no positioned read.
            yield _OpenSource(raw.fileno()) if hasattr(os, "pread") else FileSource(raw)
    elif isinstance(place, Source):
        yield place
    else:
        yield FileSource(place)


def read_each(source: Source, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
    """Return bytes at many offsets; fewer if they are not available.

    Args:
        sizes: Number of bytes to read at each offset.
    """
    if isinstance(source, _OpenSource):
        return source.read_each(offsets, sizes)  # a Python call takes as long as a system call
    return list(map(source.read_at, offsets, sizes))
