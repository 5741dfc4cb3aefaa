"""Xorbs: what is read, and what hostile bytes come to."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
from contextlib import suppress
from typing import TYPE_CHECKING

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocols.huggingface.xet import xorbs
from hub.protocols.huggingface.xet.xorbs import MAX_CHUNK_BYTES, XorbInvalid
from tests.builders.xet import chunk, grouped, xorb

if TYPE_CHECKING:
    from array import array


def unpack(data: bytes, first: int = 0, end: int | None = None) -> list[bytes]:
    starts = places(data)
    last = len(starts) - 1 if end is None else end
    return list(xorbs.read(io.BytesIO(data), starts[first], starts[last]))


def places(data: bytes) -> array[int]:
    """Return the offsets of chunks, whatever the pieces in which the bytes pass."""
    found = []
    for step in (3, 8, 100) if len(data) < 10_000 else (50_000,):
        index = xorbs.Index(len(data))
        pieces = (data[at : at + step] for at in range(0, len(data), step))
        assert b"".join(index.passing(pieces)) == data
        found.append(index.offsets)
    assert all(one == found[0] for one in found)
    return found[0]


@pytest.mark.parametrize("scheme", [0, 1, 2])
@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6))
def test_every_scheme_gives_back_what_was_packed(scheme: int, chunks: list[bytes]) -> None:
    assert unpack(xorb(*chunks, scheme=scheme)) == chunks


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, MAX_CHUNK_BYTES - 1, MAX_CHUNK_BYTES])
def test_grouped_bytes_of_any_length_come_back_in_order(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert unpack(xorb(data, scheme=2)) == [data]


def test_grouping_is_that_of_the_specification() -> None:
    assert grouped(b"A1A2B1B2C") == b"ABC" + b"11" + b"AB" + b"22"
    packed = lz4.frame.compress(b"ABC11AB22")
    head = b"\0" + len(packed).to_bytes(3, "little") + b"\2" + (9).to_bytes(3, "little")
    assert unpack(head + packed) == [b"A1A2B1B2C"]


def test_schemes_may_be_mixed_and_a_range_of_chunks_is_read_alone() -> None:
    data = chunk(b"a" * 99, 1) + chunk(b"raw", 0) + chunk(b"0123" * 20, 2) + chunk(b"end", 0)
    assert unpack(data, 1, 3) == [b"raw", b"0123" * 20]


def test_a_footer_is_left_alone() -> None:
    data = xorb(b"noir", b"blanc") + b"XETBLOB" + bytes(500)
    assert unpack(data) == [b"noir", b"blanc"]
    assert places(data)[-1] == len(xorb(b"noir", b"blanc"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no chunks"),
        (b"XETBLOB" + bytes(9), "no chunks"),
        (xorb(b"noir")[:-1], "ends within chunk 0"),
        (xorb(b"noir") + b"\0\1\0", "within the header"),
        (chunk(b"noir", version=1), "version 1"),
        (chunk(b"noir", 3), "scheme 3"),
        (chunk(b"noir", 255), "scheme 255"),
        (chunk(b"", 0), "0"),
        (chunk(b"noir", 0, size=0), "has 0"),
        (chunk(b"n", 1, size=MAX_CHUNK_BYTES + 1), "131073"),
        (chunk(bytes(2 * MAX_CHUNK_BYTES + 1), 0, size=9), "A packed chunk cannot have"),
        (chunk(bytes(300), 0, size=1), "A packed chunk cannot have"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_headers_that_cannot_be_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(XorbInvalid, match=why):
        places(data)


@pytest.mark.parametrize(
    "data",
    [
        chunk(b"noir", 0, size=5),
        chunk(b"noir", 0, size=3),
        chunk(b"noir" * 9, 1, size=35),
        chunk(b"noir" * 9, 1, size=37),
        chunk(b"noir" * 9, 2, size=35),
        chunk(bytes(10_000_000), 1, size=100),
    ],
)
def test_lying_lengths_are_refused(data: bytes) -> None:
    with pytest.raises(XorbInvalid):
        unpack(data)


def framed(packed: bytes, size: int) -> bytes:
    head = b"\0" + len(packed).to_bytes(3, "little") + b"\1" + size.to_bytes(3, "little")
    return head + packed


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (b"not a frame", 11),
        (lz4.frame.compress(b"noir")[:-5], 4),
        (lz4.frame.compress(b"noir") + b"!", 4),
        (lz4.frame.compress(b"no") + lz4.frame.compress(b"ir"), 4),
        (struct.pack("<II", 0x184D2A50, 4) + b"skip", 4),
        (b"\x04\x22\x4d\x18", 4),
    ],
    ids=["no frame", "cut", "bytes behind", "two frames", "skippable", "magic alone"],
)
def test_what_is_not_one_whole_frame_is_refused(packed: bytes, size: int) -> None:
    with pytest.raises(XorbInvalid):
        unpack(framed(packed, size))


def test_a_bomb_is_refused_within_the_memory_of_a_chunk() -> None:
    bomb = lz4.frame.compress(bytes(30_000_000), block_size=lz4.frame.BLOCKSIZE_MAX4MB)
    assert len(bomb) < MAX_CHUNK_BYTES
    data = framed(bomb, MAX_CHUNK_BYTES)
    tracemalloc.start()
    try:
        with pytest.raises(XorbInvalid):
            unpack(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_a_short_chunk_costs_no_more_than_its_length_to_read() -> None:
    empty_blocks = (b"\1\0\0\0" + b"\0") * 50_000  # each of one token, which stands for nothing
    whole = lz4.frame.compress(b"n", store_size=False)
    frame = whole[:7] + empty_blocks + whole[7:]
    with pytest.raises(XorbInvalid, match="A packed chunk cannot have"):
        places(framed(frame, 1))


def test_a_frame_that_announces_a_huge_content_is_refused() -> None:
    frame = bytearray(lz4.frame.compress(b"noir" * 9, content_checksum=False, store_size=True))
    frame[6:14] = struct.pack("<Q", 2**62)
    with pytest.raises(XorbInvalid):
        unpack(framed(bytes(frame), 36))


def test_limits_of_a_whole_xorb_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(XorbInvalid, match="at most"):
        xorbs.Index(xorbs.MAX_XORB_BYTES + 1)
    many = xorb(*[b"."] * 5, scheme=0)
    monkeypatch.setattr(xorbs, "MAX_CHUNKS", 4)
    with pytest.raises(XorbInvalid, match="4 chunks"):
        places(many)
    monkeypatch.setattr(xorbs, "MAX_UNPACKED_BYTES", 2)
    with pytest.raises(XorbInvalid, match="2 bytes"):
        places(many)


def test_offsets_that_are_none_do_not_read_over_the_end() -> None:
    data = xorb(b"noir", b"blanc", scheme=0)
    with pytest.raises(XorbInvalid):
        list(xorbs.read(io.BytesIO(data), 0, 11))
    with pytest.raises(XorbInvalid):
        list(xorbs.read(io.BytesIO(data[:-1]), 12, len(data)))


@given(st.binary(max_size=200))
def test_any_bytes_give_chunks_or_the_one_refusal(data: bytes) -> None:
    with suppress(XorbInvalid):
        unpack(data)


def test_damaged_xorbs_give_chunks_or_the_one_refusal() -> None:
    chance = random.Random(6)
    whole = chunk(b"noir" * 500, 1) + chunk(b"blanc" * 300, 2) + chunk(b"gris", 0)
    refused = 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        del data[chance.choice([len(data), chance.randrange(len(data))]) :]
        try:
            unpack(bytes(data))
        except XorbInvalid:
            refused += 1
    assert refused > 1000
