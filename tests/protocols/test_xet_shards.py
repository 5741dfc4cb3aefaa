"""Shards: what is read, and what hostile bytes come to."""

from __future__ import annotations

import io
import random
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.protocols.huggingface.xet import shards
from hub.protocols.huggingface.xet.shards import FileEntry, Segment, ShardInvalid
from tests.builders.xet import END, file_records, hash_bytes, shard, xorb_records

ONE, TWO = "0123456789abcdef" * 4, "fedcba9876543210" * 4


def files(data: bytes) -> list[FileEntry]:
    return shards.files_of(io.BytesIO(data), len(data))


def segments(data: bytes) -> list[list[Segment]]:
    return [list(shards.segments_of(io.BytesIO(data), entry)) for entry in files(data)]


def test_hashes_are_written_as_four_little_endian_words() -> None:
    assert shards.hash_text(bytes(range(32))) == (
        "0706050403020100" "0f0e0d0c0b0a0908" "1716151413121110" "1f1e1d1c1b1a1918"
    )  # fmt: skip


@given(st.binary(min_size=32, max_size=32))
def test_a_written_hash_gives_its_bytes_back(raw: bytes) -> None:
    assert hash_bytes(shards.hash_text(raw)) == raw


@pytest.mark.parametrize("is_verified", [True, False])
@pytest.mark.parametrize("footer", [0, 200])
def test_files_and_their_segments_are_found(*, is_verified: bool, footer: int) -> None:
    first = [(ONE, 10, 0, 2), (TWO, 7, 5, 6)]
    second = [(TWO, 2**32 - 1, 0, 1024)]
    data = shard(
        file_records(ONE, first, is_verified=is_verified),
        file_records(TWO, second, is_verified=is_verified),
        xorbs=[xorb_records(ONE, [4, 6]), xorb_records(TWO, [9])],
        footer=footer,
    )
    assert [(entry.sha256, entry.size_bytes) for entry in files(data)] == [
        (ONE, 17),
        (TWO, 2**32 - 1),
    ]
    assert segments(data) == [[Segment(*one) for one in first], [Segment(*one) for one in second]]


def test_a_shard_without_files_is_one() -> None:
    assert files(shard(xorbs=[xorb_records(ONE, [1])])) == []


GOOD = file_records(ONE, [(TWO, 5, 0, 1)])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends before"),
        (shard(GOOD)[:47], "ends before"),
        (shard(GOOD, tag=bytes(32)), "not a shard"),
        (shard(GOOD, version=3), "version 3"),
        (shard(GOOD)[:-1], "ends before"),
        (shard(GOOD)[:-48], "ends before"),
        (shard(GOOD)[:96], "ends before"),
        (shard(GOOD) + b"!", "1 bytes follow"),
        (shard(file_records(None, [(TWO, 5, 0, 1)])), "no sha256"),
        (shard(file_records(ONE, [(TWO, 5, 1, 1)])), "no chunks"),
        (shard(file_records(ONE, [(TWO, 5, 2, 1)])), "no chunks"),
        (shard(file_records(ONE, [(TWO, 0, 0, 1)])), "no chunks"),
        (shard(file_records(ONE, [(TWO, 5, 0, 1)], count=2**32 - 1)), "ends before"),
        (shard(GOOD, xorbs=[struct.pack("<32s4I", bytes(32), 0, 2**32 - 1, 0, 0)]), "ends before"),
    ],
)
def test_what_is_no_shard_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ShardInvalid, match=why):
        files(data)


def test_limits_of_a_shard_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ShardInvalid, match="at most"):
        shards.files_of(io.BytesIO(), shards.MAX_SHARD_BYTES + 1)
    monkeypatch.setattr(shards, "MAX_FILES", 2)
    assert len(files(shard(GOOD, GOOD))) == 2
    with pytest.raises(ShardInvalid, match="2 files"):
        files(shard(GOOD, GOOD, GOOD))


def test_an_announced_length_that_the_file_has_not_is_refused() -> None:
    data = shard(GOOD)
    with pytest.raises(ShardInvalid, match="ends early"):
        shards.files_of(io.BytesIO(data[:100]), len(data))


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_header_give_files_or_the_one_refusal(data: bytes) -> None:
    with suppress(ShardInvalid):
        files(shard()[:48] + data + END)


def test_damaged_shards_give_files_or_the_one_refusal() -> None:
    chance = random.Random(6)
    whole = shard(GOOD, GOOD, xorbs=[xorb_records(ONE, [4, 6])])
    refused = 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        del data[chance.choice([len(data), chance.randrange(len(data))]) :]
        try:
            segments(bytes(data))
        except ShardInvalid:
            refused += 1
    assert refused > 1000
