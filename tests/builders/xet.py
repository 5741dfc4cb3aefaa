"""Xorbs and shards made in code, as a client would send them or as an attacker would."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

import lz4.frame

from hub.protocols.huggingface.xet.shards import TAG

if TYPE_CHECKING:
    from collections.abc import Sequence

END = b"\xff" * 32 + bytes(16)


def hash_bytes(text: str) -> bytes:
    """Return the 32 bytes of a hash in hex digits: four little-endian words."""
    return struct.pack("<4Q", *(int(text[place : place + 16], 16) for place in range(0, 64, 16)))


def grouped(data: bytes) -> bytes:
    """Return byte 0 of every four, then byte 1, 2 and 3."""
    return b"".join(data[place::4] for place in range(4))


def chunk(data: bytes, scheme: int = 0, *, size: int | None = None, version: int = 0) -> bytes:
    """Return a chunk; ``size`` lies about its length."""
    packed = data
    if scheme in {1, 2}:
        packed = bytes(lz4.frame.compress(grouped(data) if scheme == 2 else data))
    length = len(data) if size is None else size
    head = bytes([version]) + len(packed).to_bytes(3, "little")
    return head + bytes([scheme]) + length.to_bytes(3, "little") + packed


def xorb(*chunks: bytes, scheme: int = 1) -> bytes:
    """Return a xorb of these chunks."""
    return b"".join(chunk(data, scheme) for data in chunks)


def name_of(data: bytes) -> str:
    """Return a name for a xorb: any 64 hex digits will do."""
    return hashlib.sha256(b"xorb" + data).hexdigest()


def file_records(
    sha256: str | None,
    segments: Sequence[tuple[str, int, int, int]],
    *,
    is_verified: bool = True,
    count: int | None = None,
) -> bytes:
    """Return the records of a file.

    Args:
        sha256: 64 hex digits; None leaves the record out.
        segments: Name of the xorb, length in bytes, first chunk, end.
        is_verified: Whether verification records are there.
        count: Number of segments announced, if it is a lie.
    """
    flags = (1 << 31) * is_verified | (1 << 30) * (sha256 is not None)
    count = len(segments) if count is None else count
    head = struct.pack("<32sIIQ", bytes(range(32)), flags, count, 0)
    body = b"".join(
        struct.pack("<32s4I", hash_bytes(name), 0, size, start, end)
        for name, size, start, end in segments
    )
    proofs = bytes(48) * len(segments) * is_verified
    return head + body + proofs + (hash_bytes(sha256) + bytes(16) if sha256 else b"")


def xorb_records(name: str, chunks: Sequence[int]) -> bytes:
    """Return what a shard says of a xorb: its name, the lengths of its chunks."""
    head = struct.pack("<32s4I", hash_bytes(name), 0, len(chunks), sum(chunks), sum(chunks))
    return head + b"".join(struct.pack("<32sIIQ", bytes(32), 0, size, 0) for size in chunks)


def shard(
    *files: bytes, xorbs: Sequence[bytes] = (), tag: bytes = TAG, version: int = 2, footer: int = 0
) -> bytes:
    """Return a shard of records of files and of xorbs."""
    head = struct.pack("<32sQQ", tag, version, footer)
    return head + b"".join(files) + END + b"".join(xorbs) + END + bytes(footer)
