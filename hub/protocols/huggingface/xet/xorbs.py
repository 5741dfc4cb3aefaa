"""Xorbs: sequences of compressed chunks of files.

```
xorb   = chunk, chunk, …[, footer]        the footer begins with "XETBLOB" and is not read
chunk  = version u8 = 0, packed length u24, scheme u8, length u24, packed bytes     (little endian)
scheme = 0 as it is | 1 one LZ4 frame | 2 bytes grouped by four, then one LZ4 frame
```

Grouped by four: byte 0 of every four, then byte 1 of every four, then 2, then 3.
Hashes of chunks and xorbs are not verified, as the sha256 of the whole file is.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from lz4.frame import LZ4FrameDecompressor

#: Maximum size of a xorb in bytes. Clients pack up to 64 MiB of chunks, plus headers.
MAX_XORB_BYTES = 65 * 2**20
#: Maximum size of a chunk. Source: spec/xorb.md, "a raw uncompressed chunk can be 128KiB at most".
MAX_CHUNK_BYTES = 128 * 1024
#: Maximum number of chunks in a xorb: twice as many as clients use.
MAX_CHUNKS = 2**14
#: Maximum uncompressed size of all chunks of a xorb.
MAX_UNPACKED_BYTES = 2**30

#: Maximum overhead of a frame: its header, checksums and block headers.
FRAME_BYTES = 256

FOOTER = b"XETBLOB"
HEADER_BYTES = 8
RAW, LZ4, GROUPED_LZ4 = 0, 1, 2


class XorbInvalid(ValueError):
    """A xorb is invalid or exceeds a limit, as the message says."""


class Header(NamedTuple):
    """The header of a chunk; lengths are in bytes."""

    packed_bytes: int
    scheme: int
    size_bytes: int


class Index:
    """Finds the offset of each chunk as the bytes of a xorb pass; nothing is decompressed."""

    def __init__(self, size_bytes: int) -> None:
        """Prepare.

        Args:
            size_bytes: Length of the xorb.
        """
        if size_bytes > MAX_XORB_BYTES:
            msg = f"A xorb has at most {MAX_XORB_BYTES} bytes; this one has {size_bytes}."
            raise XorbInvalid(msg)
        self._starts, self._unpacked = array("I"), 0
        self._at = self._next = 0  # offsets: of the next bytes, of the next header
        self._head = b""  # of the next header, what has passed
        self._is_over = False  # the footer has begun

    def passing(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the bytes unchanged.

        Raises:
            XorbInvalid: they are not a xorb.
        """
        for piece in pieces:
            while not self._is_over and self._at + len(piece) > self._next + len(self._head):
                begin = self._next + len(self._head) - self._at
                self._head += piece[begin : begin + HEADER_BYTES - len(self._head)]
                if len(self._head) < HEADER_BYTES:
                    break
                self._add(self._head)
            self._at += len(piece)
            yield piece
        self._end()

    def _add(self, head: bytes) -> None:
        if head.startswith(FOOTER):
            self._is_over = True
            return
        header = _header(head)
        self._starts.append(self._next)
        self._next += HEADER_BYTES + header.packed_bytes
        self._unpacked += header.size_bytes
        self._head = b""
        _require_within(len(self._starts), self._unpacked)

    def _end(self) -> None:
        if self._head and not self._is_over:
            self._add(self._head)  # an incomplete one, or a footer without a version
        if self._next > self._at:
            msg = f"The xorb ends within chunk {len(self._starts) - 1}."
            raise XorbInvalid(msg)
        if not self._starts:
            msg = "The xorb has no chunks."
            raise XorbInvalid(msg)

    @property
    def offsets(self) -> array[int]:
        """The offset of each chunk, and the end of the last one; shape (chunks + 1,)."""
        return self._starts + array("I", [self._next])


def _require_within(chunks: int, unpacked: int) -> None:
    if chunks > MAX_CHUNKS:
        msg = f"A xorb has at most {MAX_CHUNKS} chunks."
        raise XorbInvalid(msg)
    if unpacked > MAX_UNPACKED_BYTES:
        msg = f"The chunks of a xorb have at most {MAX_UNPACKED_BYTES} bytes."
        raise XorbInvalid(msg)


def read(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Yield the decompressed chunks between two offsets of an ``Index``.

    Raises:
        XorbInvalid: a chunk does not match its header.
    """
    file.seek(start)
    while start < end:
        header = _header(file.read(HEADER_BYTES))
        start += HEADER_BYTES + header.packed_bytes
        if start > end:
            msg = "A chunk continues past the end of its xorb."
            raise XorbInvalid(msg)
        packed = file.read(header.packed_bytes)
        if len(packed) != header.packed_bytes:
            msg = "The xorb ends within a chunk."
            raise XorbInvalid(msg)
        yield _unpacked(header, packed)


def _header(head: bytes) -> Header:
    """Return the header of a chunk, after checking the limits."""
    if len(head) != HEADER_BYTES:
        msg = "The xorb ends within the header of a chunk."
        raise XorbInvalid(msg)
    if head[0] != 0:
        msg = f"Chunks of version {head[0]} are not supported; use version 0."
        raise XorbInvalid(msg)
    packed, unpacked = int.from_bytes(head[1:4], "little"), int.from_bytes(head[5:], "little")
    header = Header(packed, head[4], unpacked)
    if header.scheme not in {RAW, LZ4, GROUPED_LZ4}:
        msg = f"Packing scheme {header.scheme} is not supported; use 0, 1 or 2."
        raise XorbInvalid(msg)
    if not 1 <= header.size_bytes <= MAX_CHUNK_BYTES:
        msg = f"A chunk has 1 to {MAX_CHUNK_BYTES} bytes; this one has {unpacked}."
        raise XorbInvalid(msg)
    if not 1 <= header.packed_bytes <= unpacked + unpacked // 255 + FRAME_BYTES:
        msg = f"A packed chunk cannot have {header.packed_bytes} bytes."
        raise XorbInvalid(msg)
    return header


def _unpacked(header: Header, packed: bytes) -> bytes:
    data = packed if header.scheme == RAW else _frame(packed, header.size_bytes)
    if len(data) != header.size_bytes:
        msg = f"A chunk does not have the {header.size_bytes} bytes that it announces."
        raise XorbInvalid(msg)
    return _ungrouped(data) if header.scheme == GROUPED_LZ4 else data


def _frame(packed: bytes, size_bytes: int) -> bytes:
    """Decompress one LZ4 frame, to at most one byte more than announced."""
    decompressor = LZ4FrameDecompressor()
    try:
        data: bytes = decompressor.decompress(packed, max_length=size_bytes + 1)
    except (RuntimeError, EOFError) as error:  # lz4 has no exception class of its own
        msg = "A chunk is not an LZ4 frame."
        raise XorbInvalid(msg) from error
    if not decompressor.eof or decompressor.unused_data:
        msg = "A chunk is not exactly one LZ4 frame of its announced length."
        raise XorbInvalid(msg)
    return data


def _ungrouped(data: bytes) -> bytes:
    """Return bytes that were grouped by four in their original order."""
    grouped = np.frombuffer(data, np.uint8)
    found, begin, size = np.empty_like(grouped), 0, len(data)
    for place in range(4):
        length = (size - place + 3) // 4
        found[place::4] = grouped[begin : begin + length]
        begin += length
    return found.tobytes()
