"""Shards: lists of the chunks of xorbs that make up files.

All numbers are little endian, all records have 48 bytes:

```
shard    = header, file, file, …, end, xorb, xorb, …, end[, footer]
header   = tag 32 bytes, version u64 = 2, length of the footer u64
file     = hash 32 bytes, flags u32, number of segments u32, 8 bytes
           + a segment each: xorb's hash 32 bytes, flags u32, length u32, first chunk u32, end u32
           + a verification record each, if bit 31 of the flags is set
           + one record with the file's sha256 in its first 32 bytes, if bit 30 is set
xorb     = hash 32 bytes, flags u32, number of chunks u32, length u32, packed length u32
           + a record for each chunk
end      = a record that begins with 32 bytes FF
```

A hash is four u64, written as their hex digits; the sha256 is written the same way.

Source: spec/shard.md of huggingface/xet-core.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

#: Maximum size of a shard in bytes. Clients start a new one after 64 MiB.
MAX_SHARD_BYTES = 72 * 2**20
#: Maximum number of files in a shard. Clients commit at most 1,000 files at once.
MAX_FILES = 10_000

TAG = b"HFRepoMetaData\0UigEj{\x81W\x83\xa5\xbd\xd9\\\xcd\xd1J\xa9"
RECORD_BYTES = 48
HAS_VERIFICATION, HAS_SHA256 = 1 << 31, 1 << 30

_HEADER = struct.Struct("<32sQQ")
_RECORD = struct.Struct("<32s4I")
_HASH = struct.Struct("<4Q")
_END = b"\xff" * 32


class ShardInvalid(ValueError):
    """A shard is invalid or exceeds a limit, as the message says."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a shard."""

    sha256: str  # 64 hex digits
    size_bytes: int  # total size of its segments
    place: int  # offset of its segments in the shard, in bytes
    segments: int  # number of segments


class Segment(NamedTuple):
    """Chunks ``start`` to ``end`` (exclusive) of a xorb, which unpack to ``size_bytes``."""

    xorb: str
    size_bytes: int
    start: int
    end: int


def hash_text(raw: bytes) -> str:
    """Return the hex digits of a 32-byte hash."""
    return "".join(f"{word:016x}" for word in _HASH.unpack(raw))


def files_of(file: BinaryIO, size_bytes: int) -> list[FileEntry]:
    """Read a whole shard and return its files, without segments.

    Args:
        file: The shard; seekable.

    Raises:
        ShardInvalid: the shard is invalid, or a file has no sha256.
    """
    if size_bytes > MAX_SHARD_BYTES:
        msg = f"A shard has at most {MAX_SHARD_BYTES} bytes; this has {size_bytes}."
        raise ShardInvalid(msg)
    reader = _Reader(file, size_bytes)
    footer_bytes = reader.header()
    found = list(reader.files())
    reader.xorbs()
    if reader.left and not footer_bytes:
        msg = f"{reader.left} bytes follow the end of the shard."
        raise ShardInvalid(msg)
    return found


def segments_of(file: BinaryIO, entry: FileEntry) -> Iterator[Segment]:
    """Yield the segments of a file from ``files_of``, in order."""
    for number in range(entry.segments):
        file.seek(entry.place + number * RECORD_BYTES)
        yield _segment(file.read(RECORD_BYTES))


class _Reader:
    """Sequential reader of a shard."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self.file, self.left, self.place = file, size_bytes, 0
        file.seek(0)

    def record(self) -> bytes:
        """Return the next record."""
        self.require(1)
        record = self.file.read(RECORD_BYTES)
        if len(record) != RECORD_BYTES:
            msg = "The shard ends early."
            raise ShardInvalid(msg)
        self.left -= RECORD_BYTES
        self.place += RECORD_BYTES
        return record

    def require(self, records: int) -> None:
        """Require that the shard is long enough for so many more records."""
        if self.left < records * RECORD_BYTES:
            msg = "The shard ends before what it announces."
            raise ShardInvalid(msg)

    def skip(self, records: int) -> None:
        """Skip records."""
        self.require(records)
        self.left -= records * RECORD_BYTES
        self.place += records * RECORD_BYTES
        self.file.seek(self.place)

    def header(self) -> int:
        """Read the header, and return the length of the footer."""
        tag, version, footer_bytes = _HEADER.unpack(self.record())
        if tag != TAG:
            msg = "This is not a shard: it has another tag."
            raise ShardInvalid(msg)
        if version != 2:
            msg = f"Shards of version {version} are not supported; use version 2."
            raise ShardInvalid(msg)
        return int(footer_bytes)

    def files(self) -> Iterator[FileEntry]:
        """Yield the files."""
        for number in range(MAX_FILES + 1):
            name, flags, segments, _, _ = _RECORD.unpack(self.record())
            if name == _END:
                return
            if number == MAX_FILES:
                break
            yield self.file_entry(flags, segments)
        msg = f"A shard has at most {MAX_FILES} files."
        raise ShardInvalid(msg)

    def file_entry(self, flags: int, segments: int) -> FileEntry:
        """Read the rest of a file after its first record."""
        place, size_bytes = self.place, 0
        self.require(segments)
        for _ in range(segments):
            size_bytes += _segment(self.record()).size_bytes
        if flags & HAS_VERIFICATION:
            self.skip(segments)
        if not flags & HAS_SHA256:
            msg = "A file has no sha256. Use a client that sends it."
            raise ShardInvalid(msg)
        return FileEntry(hash_text(self.record()[:32]), size_bytes, place, segments)

    def xorbs(self) -> None:
        """Skip the section that lists the chunks of xorbs."""
        while True:
            name, _, chunks, _, _ = _RECORD.unpack(self.record())
            if name == _END:
                return
            self.skip(chunks)


def _segment(record: bytes) -> Segment:
    raw, _, size_bytes, start, end = _RECORD.unpack(record)
    if start >= end or not size_bytes:
        msg = "A segment has no chunks."
        raise ShardInvalid(msg)
    return Segment(hash_text(raw), size_bytes, start, end)
