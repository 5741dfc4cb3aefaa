"""Files that the hub made are found by their hashes, also after their bytes are gone."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from registry import storage, sweep
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.blobs import by_hash
from registry.derived import selectors, services
from registry.derived.options import Wanted
from registry.jobs import worker_process
from registry.models import Adapter, Blob, DerivedFile, DerivedHash, Visibility
from registry.scan.hashes import forms_of
from registry.versions import by_id
from registry.versions import services as versions
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import User, Version

pytestmark = pytest.mark.django_db

NOBODY = AnonymousUser()
WANTED = Wanted("comfyui", 8)
RESTORED = "made"


@pytest.fixture
def version(noir: Adapter) -> Version:
    data = kohya(DENOISERS["sd1", "diffusers"], rank=16, metadata={"ss_network_dim": "16"})
    return noir.versions.first() or catalogue.release(noir, data)


@pytest.fixture
def made(version: Version) -> DerivedFile:
    source = selectors.source_of(None, "ada", "noir", version.name)
    if not DerivedFile.objects.exists():
        services.request(actor=None, source=source, wanted=WANTED, address="192.0.2.1")
        worker_process.drain("checks")
    return DerivedFile.objects.get()


def kept() -> dict[str, str]:
    return dict(DerivedHash.objects.values_list("kind", "value"))


def test_every_hash_finds_the_version_and_says_how_the_file_was_made(
    version: Version, made: DerivedFile
) -> None:
    known = kept()
    assert {"sha256", "autov2", "autov3", "data_sha256", "crc32", "blake3"} <= set(known)
    assert made.blob is not None
    assert known["sha256"] == made.blob.sha256
    for kind, value in known.items():
        [match] = by_hash.by_hash(NOBODY, value)
        assert (match.kind, match.version, match.file) == (kind, version, version.primary_file)
        assert match.derived is not None
        assert selectors.wanted_of(match.derived) == WANTED


def test_the_answer_stays_when_the_bytes_are_gone(made: DerivedFile) -> None:
    assert made.blob is not None
    sha256 = made.blob.sha256
    DerivedFile.objects.update(used_at=timezone.now() - timedelta(days=31))
    sweep.run()
    Blob.objects.filter(sha256=sha256).update(
        unreferenced_since=timezone.now() - timedelta(days=99)
    )
    sweep.run()
    assert not Blob.objects.get(sha256=sha256).is_stored
    assert not DerivedFile.objects.exists()
    [match] = by_hash.by_hash(NOBODY, sha256)
    assert match.derived is not None


def test_it_is_made_again_with_the_same_rows(version: Version, made: DerivedFile) -> None:
    before = kept()
    DerivedFile.objects.all().delete()
    source = selectors.source_of(None, "ada", "noir", version.name)
    services.request(actor=None, source=source, wanted=WANTED, address="192.0.2.1")
    worker_process.drain("checks")
    assert DerivedFile.objects.get().blob_id == made.blob_id
    assert kept() == before
    assert DerivedHash.objects.count() == len(before)


def test_the_doors_tell_it(version: Version, made: DerivedFile) -> None:
    assert made.blob is not None
    sha256, client = made.blob.sha256, Client()
    [match] = client.get(f"/api/v1/hashes/{sha256[:10]}").json()["matches"]
    assert match["version"]["version"] == version.name
    assert match["derived"] == {
        "variant": "comfyui.r8", "naming": "comfyui", "max_rank": 8, "strip": False,
    }  # fmt: skip
    own = version.primary_file
    assert own is not None
    assert match["file"]["sha256"] == own.sha256
    [exact] = client.get(f"/api/v1/hashes/{own.sha256}").json()["matches"]
    assert exact["derived"] is None
    door = client.get(f"/api/v1/model-versions/by-hash/{sha256.upper()}").json()
    assert (door["id"], door["derivedFrom"]["variant"]) == (version.pk, "comfyui.r8")
    assert "derivedFrom" not in client.get(f"/api/v1/model-versions/by-hash/{own.sha256}").json()
    assert by_id.with_digests(NOBODY, [sha256]) == [(sha256, version.pk, version.adapter_id)]


def test_a_file_with_the_data_of_the_version_is_not_named_twice(version: Version) -> None:
    source = selectors.source_of(None, "ada", "noir", version.name)
    wanted = Wanted(is_stripped=True)
    services.request(actor=None, source=source, wanted=wanted, address="192.0.2.1")
    worker_process.drain("checks")
    known = kept()
    [by_data] = by_hash.by_hash(NOBODY, known["data_sha256"])
    assert by_data.derived is None
    [by_file] = by_hash.by_hash(NOBODY, known["sha256"])
    assert by_file.derived is not None
    assert by_file.derived.is_stripped


def test_the_search_finds_it(version: Version, made: DerivedFile) -> None:
    assert made.blob is not None
    for text in (made.blob.sha256, made.blob.sha256[:16], kept()["autov3"]):
        found = by_hash.versions_with(text, Adapter.objects.visible_to(NOBODY))
        assert found is not None
        assert list(found) == [version], text
    assert forms_of(kept()["autov3"])
    assert adapter_selectors.get(NOBODY, "ada", "noir") == version.adapter


def test_the_same_bytes_elsewhere_are_not_named(
    bob: User, version: Version, made: DerivedFile
) -> None:
    own = version.primary_file
    assert own is not None
    with storage.store().open(own.sha256) as file:
        catalogue.release(
            adapters.create(actor=bob, name="copy"), file.read(), path="c.safetensors"
        )
    [match] = by_hash.by_hash(NOBODY, kept()["sha256"])
    assert match.version == version
    assert made.adapter_id == version.adapter_id


def test_who_may_not_see_the_adapter_is_not_told(
    bob: User, version: Version, made: DerivedFile
) -> None:
    assert made.blob is not None
    sha256 = made.blob.sha256
    Adapter.objects.filter(pk=version.adapter_id).update(visibility=Visibility.UNLISTED)
    assert by_hash.by_hashes(bob, [sha256[:10]]) == {sha256[:10]: []}
    assert len(by_hash.by_hash(bob, sha256)) == 1
    Adapter.objects.filter(pk=version.adapter_id).update(visibility=Visibility.PRIVATE)
    assert by_hash.by_hashes(bob, [sha256]) == {sha256: []}


def test_a_file_that_somebody_published_comes_before_the_one_it_was_made_of(
    bob: User, version: Version, made: DerivedFile
) -> None:
    assert made.blob is not None
    with storage.store().open(made.blob.sha256) as file:
        copy = catalogue.release(
            adapters.create(actor=bob, name="copy"), file.read(), path="c.safetensors"
        )
    matches = by_hash.by_hash(NOBODY, made.blob.sha256)
    assert [(one.version, one.derived is None) for one in matches] == [
        (copy, True), (version, False),
    ]  # fmt: skip


def test_an_exact_file_of_a_yanked_version_comes_before_a_derived_one_at_civitais_door(
    bob: User, version: Version, made: DerivedFile
) -> None:
    assert made.blob is not None
    with storage.store().open(made.blob.sha256) as file:
        copy = catalogue.release(
            adapters.create(actor=bob, name="copy"), file.read(), path="c.safetensors"
        )
    versions.yank(actor=bob, version=copy, reason="too strong")
    place = f"/api/v1/model-versions/by-hash/{made.blob.sha256}"
    answer = Client().get(place).json()
    assert (answer["id"], "derivedFrom" in answer) == (copy.pk, False)
    catalogue.put(copy.adapter.versions.all(), "withdrawn")
    assert Client().get(place).json()["derivedFrom"]["variant"] == "comfyui.r8"


def test_files_made_in_private_adapters_do_not_crowd_out_the_visible_one(
    bob: User, version: Version, made: DerivedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_hash, "MAX_MATCHES", 2)
    known, source = kept(), made.source
    DerivedHash.objects.all().delete()
    names = ("one", "two", version.adapter.name)
    hidden = [adapters.create(actor=bob, name=name) for name in names[:2]]
    Adapter.objects.filter(pk__in=[one.pk for one in hidden]).update(visibility=Visibility.PRIVATE)
    DerivedHash.objects.bulk_create(
        DerivedHash(adapter=one, source=source, naming="comfyui", kind=kind, value=value)
        for one in (*hidden, version.adapter)
        for kind, value in known.items()
    )
    for text in (known["sha256"], known["sha256"][:16]):
        page = adapter_selectors.search(NOBODY, adapter_selectors.Query(q=text))
        assert [one.pk for one in page.results] == [version.adapter_id], text


def _fill_by_migration() -> None:
    name = "0046_fill_derived_hashes"
    executor = MigrationExecutor(connection)
    state = executor.loader.project_state([("registry", name)])
    module = executor.loader.get_migration("registry", name)
    module.operations[0].code(state.apps, None)  # type: ignore[attr-defined]  # RunPython


def test_the_migration_keeps_what_is_known_of_files_made_before(made: DerivedFile) -> None:
    assert made.blob is not None
    DerivedHash.objects.all().delete()
    _fill_by_migration()
    assert kept() == {"sha256": made.blob.sha256, "autov2": made.blob.sha256[:10]}
    assert selectors.wanted_of(DerivedHash.objects.all()[0]) == WANTED


def test_the_migration_holds_a_batch_of_rows_at_a_time(
    made: DerivedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in (16, 32):
        blob = Blob.objects.create(sha256=f"{rank}" * 32, size_bytes=1)
        made.pk, made.max_rank, made.blob = None, rank, blob
        made.save()
    DerivedHash.objects.all().delete()
    migration = import_module("registry.migrations.0046_fill_derived_hashes")
    monkeypatch.setattr(migration, "_BATCH", 2)
    sizes, create = list[int](), QuerySet.bulk_create

    def bulk_create(
        rows: QuerySet[DerivedHash], objs: Iterable[DerivedHash], *, ignore_conflicts: bool
    ) -> None:
        listed = list(objs)
        sizes.append(len(listed))
        create(rows, listed, ignore_conflicts=ignore_conflicts)

    monkeypatch.setattr(QuerySet, "bulk_create", bulk_create)
    _fill_by_migration()
    assert sizes == [2, 2, 2]
    assert DerivedHash.objects.count() == 6
