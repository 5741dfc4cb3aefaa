"""What every blob store promises, held against a directory and a bucket of a real server."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from registry import storage
from registry.errors import SizeMismatch, UploadIncomplete
from registry.storage import Entry, Fetch, Part
from registry.storage.s3 import S3Store
from tests.stored import put_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20
#: Of every part but the last: less is refused by Amazon's server.
STEP = 5 * MIB


@pytest.fixture
def store(either_store: str) -> storage.BlobStore:
    """Each of the stores in turn."""
    del either_store
    return storage.store()


def noise(size: int) -> bytes:
    return os.urandom(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read(name: str) -> bytes:
    with storage.store().open(name) as handle:
        return handle.read()


def names() -> list[str]:
    return sorted(entry.name for entry in storage.store().names())


def parts_of(data: bytes) -> list[Part]:
    return [
        Part(number, offset, min(STEP, len(data) - offset))
        for number, offset in enumerate(range(0, len(data), STEP), start=1)
    ]


def send(key: str, data: bytes, part: Part) -> Part:
    """Write a part and return it with its tag."""
    body = data[part.offset : part.offset + part.size]
    tag = storage.store().write(key, [body[:100], body[100:]], part=part)
    return Part(part.number, part.offset, part.size, tag)


def plant(sha256: str, data: bytes) -> None:
    """Put bytes in a blob's place behind the store's back."""
    store = storage.store()
    if isinstance(store, S3Store):
        place = store._blob(sha256)
        store.client.put_object(Bucket=store.location.bucket, Key=place, Body=data)
    else:
        path = store.link(sha256, Fetch())
        assert isinstance(path, Path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


# --- Addresses ----------------------------------------------------------------------------------


def test_what_is_put_is_found_under_its_digest_alone(store: storage.BlobStore) -> None:
    data = noise(MIB + 1)
    written = put_bytes([data[:7], data[7:]])
    assert written == storage.Written(len(data), digest(data))
    assert names() == [digest(data)]
    assert read(digest(data)) == data


def test_a_blob_that_is_here_stays_and_the_second_copy_goes(store: storage.BlobStore) -> None:
    data = noise(1000)
    put_bytes([data])
    put_bytes([data])
    assert names() == [digest(data)]
    assert read(digest(data)) == data


def test_a_blob_that_was_cut_short_is_made_good(store: storage.BlobStore) -> None:
    data = noise(1000)
    plant(digest(data), data[:10])
    put_bytes([data])
    assert read(digest(data)) == data


def test_a_blob_that_was_damaged_is_made_good(store: storage.BlobStore) -> None:
    data = noise(1000)
    put_bytes([data])
    plant(digest(data), data[:500] + bytes([data[500] ^ 1]) + data[501:])
    put_bytes([data])
    assert names() == [digest(data)]
    assert read(digest(data)) == data


def test_who_reads_a_blob_while_it_is_promoted_again_reads_on(store: storage.BlobStore) -> None:
    """Also where the second copy came in other parts, so that a bucket gives it another tag."""
    data, key = noise(2 * STEP + 1000), storage.new_key()
    put_bytes([data])
    with store.open(digest(data)) as handle:
        begun = handle.read(1000)
        store.assemble(key, [send(key, data, part) for part in parts_of(data)])
        store.promote(key, digest(data))
        assert begun + handle.read() == data
    assert read(digest(data)) == data


def test_of_sixteen_promotions_at_once_one_blob_is_left_and_it_is_whole(
    store: storage.BlobStore,
) -> None:
    data = noise(64 * 1024)
    keys = [storage.new_key() for _ in range(16)]
    for key in keys:
        store.write(key, [data])
    start = threading.Barrier(len(keys))

    def promote(key: str) -> None:
        start.wait()
        store.promote(key, digest(data))

    with ThreadPoolExecutor(len(keys)) as pool:
        list(pool.map(promote, keys))
    assert names() == [digest(data)]
    assert read(digest(data)) == data


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "g" * 32, "a" * 33])
def test_a_name_of_another_form_is_refused(store: storage.BlobStore, name: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        store.open(name)
    with pytest.raises(ValueError, match="not a"):
        store.delete(name)
    with pytest.raises(ValueError, match="not a"):
        store.write(name, [b"x"])
    with pytest.raises(ValueError, match="not a"):
        store.promote("a" * 32, name)


# --- Reading ------------------------------------------------------------------------------------


def test_a_handle_knows_its_size_and_reads_anywhere(store: storage.BlobStore) -> None:
    data = noise(3 * MIB)
    put_bytes([data])
    with store.open(digest(data)) as handle:
        assert handle.size == len(data)
        for place, count in [(0, 8), (2 * MIB, 100), (8, 70_000), (len(data) - 3, 100), (5, 0)]:
            handle.seek(place)
            assert handle.read(count) == data[place : place + count]
        assert handle.seek(-4, io.SEEK_END) == len(data) - 4
        assert handle.read() == data[-4:]
        assert handle.read() == b""
        handle.seek(len(data) + 10)
        assert handle.read(1) == b""


def test_what_is_absent_is_said_to_be(store: storage.BlobStore) -> None:
    for name in ("a" * 32, "b" * 64):
        with pytest.raises(FileNotFoundError):
            store.open(name)
        store.delete(name)
    with pytest.raises(FileNotFoundError):
        store.promote("a" * 32, "b" * 64)
    assert names() == []


# --- Parts --------------------------------------------------------------------------------------


def test_parts_in_any_order_and_again_make_the_file(store: storage.BlobStore) -> None:
    data, key = noise(2 * STEP + 1000), storage.new_key()
    one, two, three = parts_of(data)
    store.write(key, [noise(three.size)], part=three)  # replaced within the same second
    sent = [send(key, data, part) for part in (three, one, two)]
    sent[1] = send(key, data, one)
    store.assemble(key, sorted(sent, key=lambda part: part.number))
    assert read(key) == data
    store.promote(key, digest(data))
    assert names() == [digest(data)]
    assert read(digest(data)) == data


def test_parts_at_once_make_the_file(store: storage.BlobStore) -> None:
    data, key = noise(3 * STEP), storage.new_key()
    with ThreadPoolExecutor(3) as pool:
        sent = list(pool.map(lambda part: send(key, data, part), parts_of(data)))
    store.assemble(key, sent)
    assert read(key) == data


def test_another_process_goes_on_with_the_parts(either_store: str) -> None:
    data, key = noise(2 * STEP), storage.new_key()
    one, two = parts_of(data)
    send(key, data, one)
    storage.store_at.cache_clear()  # what a process remembers
    send(key, data, two)
    storage.store_at.cache_clear()
    storage.store().assemble(key, [one, two])
    assert read(key) == data


def test_assembling_names_what_is_missing_and_goes_on_later(store: storage.BlobStore) -> None:
    data, key = noise(2 * STEP + 10), storage.new_key()
    one, two, three = parts_of(data)
    sent = [send(key, data, one)]
    with pytest.raises(UploadIncomplete) as refusal:
        store.assemble(key, [one, two, three])
    assert refusal.value.facts["missing"] == [2, 3]
    sent += [send(key, data, two), send(key, data, three)]
    store.assemble(key, sent)
    assert read(key) == data


def test_nothing_at_all_is_missing_in_every_part(store: storage.BlobStore) -> None:
    with pytest.raises(UploadIncomplete) as refusal:
        store.assemble(storage.new_key(), parts_of(b"x" * STEP + b"y"))
    assert refusal.value.facts["missing"] == [1, 2]


def test_assembling_twice_is_once(store: storage.BlobStore) -> None:
    data, key = noise(STEP + 1), storage.new_key()
    sent = [send(key, data, part) for part in parts_of(data)]
    store.assemble(key, sent)
    store.assemble(key, sent)
    assert read(key) == data


def test_more_bytes_than_a_part_may_have_are_refused(store: storage.BlobStore) -> None:
    key = storage.new_key()
    store.write(key, [b"x" * 11], part=Part(1, 0, 10))
    with pytest.raises(SizeMismatch):
        store.assemble(key, [Part(1, 0, 10)])


def test_a_body_that_breaks_counts_for_nothing(store: storage.BlobStore) -> None:
    data, key = noise(STEP + 200_000), storage.new_key()

    def broken() -> Iterator[bytes]:
        yield b"z" * 100_000
        message = "the client left"
        raise ConnectionResetError(message)

    one, two = parts_of(data)
    kept = send(key, data, one)
    with pytest.raises(ConnectionResetError):
        store.write(key, broken(), part=two)
    with pytest.raises(UploadIncomplete):
        store.assemble(key, [kept, two])
    store.assemble(key, [kept, send(key, data, two)])
    assert read(key) == data


def test_a_whole_body_that_breaks_can_be_sent_again(store: storage.BlobStore) -> None:
    data, key = noise(100_000), storage.new_key()

    def broken() -> Iterator[bytes]:
        yield data[:70_000]
        message = "the client left"
        raise ConnectionResetError(message)

    with pytest.raises(ConnectionResetError):
        store.write(key, broken())
    store.write(key, [data])
    assert read(key) == data


# --- Listing and removing -----------------------------------------------------------------------


def test_a_listing_has_names_lengths_and_times(store: storage.BlobStore) -> None:
    began = time.time()
    blob, key, begun = noise(10), storage.new_key(), storage.new_key()
    put_bytes([blob])
    store.write(key, [b"123"])
    send(begun, b"x" * STEP, Part(1, 0, STEP))
    found = {entry.name: entry for entry in store.names()}
    assert set(found) == {digest(blob), key, begun}
    assert (found[digest(blob)].size, found[key].size) == (10, 3)
    assert all(began - 5 < entry.changed < time.time() + 5 for entry in found.values())


def test_one_key_is_listed_by_itself(store: storage.BlobStore) -> None:
    key = storage.new_key()
    assert list(store.names(key)) == []
    send(key, b"x" * STEP, Part(1, 0, STEP))
    put_bytes([b"another"])
    (entry,) = store.names(key)
    assert (entry.name, entry.size) == (key, STEP)


def test_what_came_in_parts_is_removed_with_all_of_them(store: storage.BlobStore) -> None:
    data, key = noise(2 * STEP), storage.new_key()
    for part in parts_of(data):
        send(key, data, part)
    store.delete(key)
    assert (names(), list(store.names(key))) == ([], [])
    with pytest.raises(UploadIncomplete):
        store.assemble(key, parts_of(data))


def test_removing_only_what_is_not_complete_keeps_what_is(store: storage.BlobStore) -> None:
    written = put_bytes([b"kept"])
    store.delete(written.sha256, is_partial=True)
    assert read(written.sha256) == b"kept"


def test_what_else_lies_there_is_not_ours(store: storage.BlobStore) -> None:
    put_bytes([b"ours"])
    if isinstance(store, S3Store):
        prefix = store.location.prefix
        for place in ("notes.txt", "incoming/notes.txt", "blobs/aa/" + "a" * 64):
            store.client.put_object(Bucket=store.location.bucket, Key=prefix + place, Body=b"x")
    else:
        root = settings.LORARY.data / "files"
        (root / "notes.txt").write_text("x")
        (root / "incoming" / "notes.txt").write_text("x")
    assert names() == [digest(b"ours")]


def test_entries_of_different_keys_never_share_a_place(store: storage.BlobStore) -> None:
    keys = [storage.new_key() for _ in range(3)]
    for number, key in enumerate(keys):
        store.write(key, [bytes([number])])
    assert [read(key) for key in keys] == [b"\0", b"\1", b"\2"]
    entries: list[Entry] = list(itertools.chain(*(store.names(key) for key in keys)))
    assert [entry.name for entry in entries] == keys
