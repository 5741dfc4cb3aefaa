"""Bytes on their way from one store to another."""

from __future__ import annotations

import errno
import hashlib
import io
from typing import TYPE_CHECKING

import pytest

from registry import storage
from registry.blobs import migrate_store
from registry.errors import StorageFull
from registry.models import Blob
from registry.storage import LocalStore
from tests.stored import blob_of, put_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from registry.storage import BlobStore, Part

pytestmark = pytest.mark.django_db

FILES = [bytes([number]) * (1000 + number) for number in range(12)]
DIGESTS = [hashlib.sha256(data).hexdigest() for data in FILES]


@pytest.fixture
def source() -> BlobStore:
    """The hub's own store, with files that the rows name."""
    for data in FILES:
        blob_of(data)
    return storage.store()


@pytest.fixture
def target(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "elsewhere")


def blob_file(store: LocalStore, sha256: str) -> Path:
    return store.root / "blobs" / sha256[:2] / sha256[2:4] / sha256


def content(store: BlobStore, name: str) -> bytes:
    with store.open(name) as handle:
        return handle.read()


class Faulty(LocalStore):
    """A store whose writing goes wrong: once after so many files, or in silence."""

    def __init__(self, root: Path, *, full_after: int = 99, ends_with: bytes = b"") -> None:
        super().__init__(root)
        self.left, self.ends_with = full_after, ends_with

    def write(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        part: Part | None = None,
        is_durable: bool = True,
    ) -> str:
        self.left -= 1
        if self.left < 0:
            raise StorageFull(self.root.name)
        said = super().write(key, chunks, part=part, is_durable=is_durable)
        if self.ends_with:
            with self._private(key).open("r+b") as handle:
                handle.seek(-len(self.ends_with), io.SEEK_END)
                handle.write(self.ends_with)
        return said


def test_every_file_arrives_and_stays_where_it_was(source: BlobStore, target: LocalStore) -> None:
    told = migrate_store.copy(source=source, target=target)
    assert (told.done, told.present, told.is_whole) == (12, 0, True)
    assert told.bytes_done == sum(map(len, FILES))
    for store in (source, target):
        assert [content(store, sha256) for sha256 in DIGESTS] == FILES
    assert {entry.name for entry in target.names()} == set(DIGESTS)


def test_a_second_copy_brings_only_what_is_new(source: BlobStore, target: LocalStore) -> None:
    migrate_store.copy(source=source, target=target)
    blob = blob_of(b"new")
    told = migrate_store.copy(source=source, target=target)
    assert (told.done, told.present) == (1, 12)
    assert content(target, blob.sha256) == b"new"


def test_a_dry_run_says_the_same_and_writes_nothing(source: BlobStore, target: LocalStore) -> None:
    source.delete(DIGESTS[0])
    told = migrate_store.copy(source=source, target=target, is_dry=True)
    assert (told.done, told.missing) == (11, [DIGESTS[0]])
    assert not target.root.exists()


def test_progress_counts_up_to_the_end(source: BlobStore, target: LocalStore) -> None:
    seen: list[tuple[int, int]] = []
    migrate_store.copy(
        source=source, target=target, progress=lambda files, size: seen.append((files, size))
    )
    assert [files for files, _size in seen] == list(range(1, 13))
    assert seen[-1][1] == sum(map(len, FILES))


def test_a_missing_file_is_named_and_the_others_are_copied(
    source: BlobStore, target: LocalStore
) -> None:
    source.delete(DIGESTS[3])
    told = migrate_store.copy(source=source, target=target)
    assert (told.done, told.missing) == (11, [DIGESTS[3]])


def test_what_the_sweeper_took_meanwhile_is_not_missing(
    source: BlobStore, target: LocalStore
) -> None:
    blobs = list(migrate_store.stored())
    source.delete(DIGESTS[3])
    Blob.objects.filter(sha256=DIGESTS[3]).update(is_stored=False)
    assert migrate_store.copy(source=source, target=target, blobs=blobs).missing == [DIGESTS[3]]

    def swept_late() -> BlobStore:
        Blob.objects.filter(sha256=DIGESTS[4]).update(is_stored=False)
        return source

    source.delete(DIGESTS[4])
    assert migrate_store.copy(source=swept_late(), target=target).is_whole


def test_a_file_that_changed_on_the_disk_is_not_taken_along(
    source: LocalStore, target: LocalStore
) -> None:
    blob_file(source, DIGESTS[5]).write_bytes(FILES[5][:-1] + b"?")
    told = migrate_store.copy(source=source, target=target)
    assert (told.done, told.damaged) == (11, [DIGESTS[5]])
    assert DIGESTS[5] not in {entry.name for entry in target.names()}
    assert len(list(target.names())) == 11  # and nothing private is left


def test_a_short_file_at_the_target_is_written_again(source: BlobStore, target: LocalStore) -> None:
    migrate_store.copy(source=source, target=target)
    blob_file(target, DIGESTS[2]).write_bytes(b"cut")
    told = migrate_store.copy(source=source, target=target)
    assert (told.done, told.present) == (1, 11)
    assert content(target, DIGESTS[2]) == FILES[2]


def test_a_target_that_keeps_other_bytes_gets_no_address_for_them(
    source: BlobStore, tmp_path: Path
) -> None:
    target = Faulty(tmp_path / "liar", ends_with=b"?")
    told = migrate_store.copy(source=source, target=target)
    assert told.done == 0
    assert set(told.failed) == set(DIGESTS)
    assert list(target.names()) == []


def test_a_full_target_ends_the_copy_and_the_next_one_goes_on(
    source: BlobStore, tmp_path: Path
) -> None:
    target = Faulty(tmp_path / "small", full_after=5)
    with pytest.raises(StorageFull):
        migrate_store.copy(source=source, target=target, threads=2)
    kept = len(list(target.names()))
    assert 1 <= kept <= 5
    told = migrate_store.copy(source=source, target=LocalStore(target.root))
    assert (told.done, told.present) == (12 - kept, kept)


def test_an_unreadable_file_fails_alone(
    source: BlobStore, target: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = LocalStore.open

    def unreadable(store: LocalStore, name: str) -> storage.Handle:
        if name == DIGESTS[7]:
            raise OSError(errno.EIO, "Input/output error")
        return whole(store, name)

    monkeypatch.setattr(LocalStore, "open", unreadable)
    told = migrate_store.copy(source=source, target=target)
    assert told.done == 11
    assert "Input/output error" in told.failed[DIGESTS[7]]


def test_the_rest_of_a_copy_that_was_cut_off_is_written_over(
    source: BlobStore, target: LocalStore
) -> None:
    target.write(DIGESTS[0][:32], [b"x" * 5000])
    assert migrate_store.copy(source=source, target=target).done == 12
    assert {entry.name for entry in target.names()} == set(DIGESTS)


def test_the_rest_of_a_promotion_that_was_cut_off_is_no_file(
    source: BlobStore, target: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate_store.copy(source=source, target=target)
    listed = [*target.names(), storage.Entry(DIGESTS[0], 0, 0, is_partial=True)]
    monkeypatch.setattr(target, "names", lambda: iter(listed))
    assert migrate_store.sizes(target)[bytes.fromhex(DIGESTS[0])] == len(FILES[0])
    assert migrate_store.census(target).missing == []
    assert migrate_store.census(target).incoming == 1


def test_rows_are_read_page_by_page(
    source: BlobStore, target: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate_store, "BATCH", 5)
    assert [sha256 for sha256, _size in migrate_store.stored()] == DIGESTS


def test_verify_tells_right_from_damaged_from_missing(source: LocalStore) -> None:
    blob_file(source, DIGESTS[1]).write_bytes(FILES[1] + b"more")
    blob_file(source, DIGESTS[2]).write_bytes(FILES[2][:-1] + b"?")
    source.delete(DIGESTS[3])
    told = migrate_store.verify(store=source)
    assert told.done == 9
    assert sorted(told.damaged) == sorted(DIGESTS[1:3])
    assert told.missing == [DIGESTS[3]]


def test_what_is_damaged_or_missing_is_mended_from_another_store(
    source: LocalStore, target: LocalStore
) -> None:
    migrate_store.copy(source=source, target=target)
    blob_file(source, DIGESTS[1]).write_bytes(FILES[1][:-1] + b"?")
    for lost in (DIGESTS[2], DIGESTS[3]):
        source.delete(lost)
    target.delete(DIGESTS[3])
    blob_file(target, DIGESTS[4]).write_bytes(b"the backup's own trouble")
    found, told = migrate_store.mend(source=target, target=source)
    assert (found.done, sorted([*found.missing, *found.damaged])) == (9, sorted(DIGESTS[1:4]))
    assert (told.done, told.missing) == (2, [DIGESTS[3]])
    assert [content(source, sha256) for sha256 in DIGESTS[1:3]] == FILES[1:3]


def test_a_damaged_file_stays_when_its_other_copy_is_no_better(
    source: LocalStore, target: LocalStore
) -> None:
    migrate_store.copy(source=source, target=target)
    for store in (source, target):
        blob_file(store, DIGESTS[1]).write_bytes(FILES[1][:-1] + b"?")
    _found, told = migrate_store.mend(source=target, target=source)
    assert told.damaged == [DIGESTS[1]]
    assert blob_file(source, DIGESTS[1]).exists()


def test_a_census_compares_rows_with_files(source: LocalStore, target: LocalStore) -> None:
    source.delete(DIGESTS[0])
    blob_file(source, DIGESTS[1]).write_bytes(b"short")
    put_bytes([b"nobody's"])
    source.write(storage.new_key(), [b"on its way"])
    told = migrate_store.census(source)
    assert (told.blobs, told.files, told.missing) == (12, 12, DIGESTS[:2])
    assert (told.orphans, told.orphan_bytes) == (1, 8)
    assert (told.incoming, told.incoming_bytes) == (1, 10)
    assert len(migrate_store.census(target).missing) == 12


# --- open uploads -------------------------------------------------------------------------------
