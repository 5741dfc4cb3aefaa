"""What a store in a folder calls safe is on the disk: bytes, and each name that leads to them."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import pytest

from registry.storage import LocalStore, Part

KEY = "0" * 32
ONE, TWO = Part(1, 0, 4), Part(2, 4, 4)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    (tmp_path / "files").mkdir()
    return LocalStore(tmp_path / "files")


@pytest.fixture
def flushed(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Collect what is flushed: its path below the store, and its length when it is a file."""
    seen: list[tuple[str, int]] = []
    flush = os.fsync

    def note(handle: int) -> None:
        flush(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        size = 0 if path.is_dir() else path.stat().st_size
        seen.append((path.relative_to(store.root).as_posix(), size))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("looks into /proc")
    monkeypatch.setattr(os, "fsync", note)
    return seen


def test_a_part_and_the_name_of_its_file_are_flushed(
    store: LocalStore, flushed: list[tuple[str, int]]
) -> None:
    store.write(KEY, [b"abcd"], part=ONE)
    assert flushed == [("incoming", 0), (".", 0), (f"incoming/{KEY}", 4)]


def test_further_parts_flush_their_bytes_alone(
    store: LocalStore, flushed: list[tuple[str, int]]
) -> None:
    store.write(KEY, [b"abcd"], part=ONE)
    flushed.clear()
    store.write(KEY, [b"efgh"], part=TWO)
    store.write(KEY, [b"abcd"], part=ONE)
    assert flushed == [(f"incoming/{KEY}", 8)] * 2


def test_a_part_that_finds_an_empty_file_flushes_its_name_as_well(
    store: LocalStore, flushed: list[tuple[str, int]]
) -> None:
    def breaks() -> bytes:
        raise ConnectionError

    with suppress(ConnectionError):
        store.write(KEY, (breaks() for _ in range(1)), part=ONE)
    flushed.clear()
    store.write(KEY, [b"efgh"], part=TWO)
    assert [path for path, _size in flushed] == ["incoming", ".", f"incoming/{KEY}"]


def test_a_name_is_flushed_before_the_first_byte_is_there(
    store: LocalStore, flushed: list[tuple[str, int]]
) -> None:
    def looking() -> bytes:
        assert [path for path, _size in flushed] == ["incoming", "."]
        return b"abcd"

    store.write(KEY, (looking() for _ in range(1)))


@pytest.mark.parametrize("is_there", [False, True], ids=["the first", "one more"])
def test_a_promotion_flushes_every_folder_on_the_way(
    store: LocalStore, flushed: list[tuple[str, int]], *, is_there: bool
) -> None:
    digest = hashlib.sha256(b"abcd").hexdigest()
    for _ in range(2 if is_there else 1):
        store.write(KEY, [b"abcd"])
        flushed.clear()
        store.promote(KEY, digest)
    ab, cd = digest[:2], digest[2:4]
    ways = {f"blobs/{ab}/{cd}", f"blobs/{ab}", "blobs", "."}
    assert {path for path, _size in flushed} == ways
