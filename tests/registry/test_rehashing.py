"""Reading stored files in whole again: hashes come, and bytes that changed are told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registry import storage
from registry.blobs import rehash
from registry.models import Blob, BlobAnatomy, BlobHash, Event
from tests import catalogue
from tests.builders.adapters import kohya
from tests.builders.relatives import write_original
from tests.registry.files import OTHER, SD1

if TYPE_CHECKING:
    from registry.models import Adapter

pytestmark = pytest.mark.django_db(transaction=True)

CLAIM = {"sshs_model_hash": "ab" * 32}


@pytest.fixture
def known(noir: Adapter) -> dict[str, str]:
    """Hashes of a published file, which are then forgotten but for its digest."""
    catalogue.release(noir, kohya(SD1, metadata=CLAIM))
    rows = dict(BlobHash.objects.values_list("kind", "value"))
    BlobHash.objects.exclude(kind="sha256").delete()
    Blob.objects.update(hashes={}, claimed_hashes={})
    return rows


def place() -> Path:
    where = storage.store().link(
        Blob.objects.exclude(files__path="README.md").get().sha256, storage.Fetch()
    )
    assert isinstance(where, Path)
    return where


def test_what_is_not_known_is_computed(known: dict[str, str]) -> None:
    told = rehash.run()
    assert (told.read, told.changed, told.damaged, told.missing) == (1, 1, [], [])
    assert dict(BlobHash.objects.values_list("kind", "value")) == known
    blob = Blob.objects.exclude(files__path="README.md").get()
    assert {**blob.hashes, "sha256": blob.sha256} == known
    assert blob.claimed_hashes == CLAIM
    assert Event.objects.get(verb="files_rehashed").facts == {"count": 1}


def test_energies_that_an_older_release_did_not_write_are_measured(
    noir: Adapter, tmp_path: Path
) -> None:
    write_original(tmp_path / "a.safetensors", "sd1", "kohya", seed=1, modules=30)
    catalogue.release(noir, (tmp_path / "a.safetensors").read_bytes())
    anatomy = BlobAnatomy.objects.get()
    assert rehash.without_all_hashes().count() == 0
    BlobAnatomy.objects.update(energies=None)
    assert rehash.run().changed == 1
    assert BlobAnatomy.objects.get().energies == anatomy.energies
    blocks = {one["name"] for one in anatomy.document["layers"]["blocks"]}
    assert len(blocks) > 1
    assert set(anatomy.energies or ()) == blocks


def test_a_second_run_reads_nothing_and_all_changes_nothing(known: dict[str, str]) -> None:
    rehash.run()
    assert rehash.run().read == 0
    again = rehash.run(includes_current=True)
    assert (again.read, again.changed) == (1, 0)


def test_a_dry_run_writes_nothing(known: dict[str, str]) -> None:
    assert rehash.run(is_dry=True).changed == 1
    assert rehash.without_all_hashes().count() == 1


@pytest.mark.parametrize("cut", [slice(0, 100), slice(0, -1)])
def test_bytes_that_changed_are_told_and_left_alone(known: dict[str, str], cut: slice) -> None:
    place().write_bytes(place().read_bytes()[cut])
    told = rehash.run()
    assert (told.changed, told.damaged) == (0, [known["sha256"]])
    assert dict(BlobHash.objects.values_list("kind", "value")) == {"sha256": known["sha256"]}


def test_one_bit_that_changed_is_found_by_reading_all(known: dict[str, str]) -> None:
    rehash.run()
    data = bytearray(place().read_bytes())
    data[-1] ^= 1
    place().write_bytes(data)
    assert rehash.run(includes_current=True).damaged == [known["sha256"]]


def test_missing_bytes_are_told_and_the_rest_is_read(known: dict[str, str], noir: Adapter) -> None:
    lost = Blob.objects.exclude(files__path="README.md").get().sha256
    catalogue.release(noir, OTHER)
    storage.store().delete(lost)
    told = rehash.run(includes_current=True)
    assert (told.read, told.missing) == (1, [lost])


def test_progress_is_told_in_files(known: dict[str, str]) -> None:
    seen: list[tuple[int, int]] = []
    rehash.run(progress=lambda *both: seen.append(both))
    assert seen == [(1, 1)]
