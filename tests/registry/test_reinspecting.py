"""Reading headers again: what is known gets better, what is published stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registry import storage
from registry.models import Blob, BlobAnatomy, Event, File, Finding, Upload, Version
from registry.versions import reinspect
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import kohya
from tests.registry.files import LORA, SD1

if TYPE_CHECKING:
    from registry.models import Adapter

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def v1(noir: Adapter) -> Version:
    said = Details(trigger_words=["mine"], notes="as I said")
    return catalogue.release(noir, LORA, said)


def age(**columns: object) -> None:
    """Make every anatomy what an older reader wrote, which knew less."""
    BlobAnatomy.objects.update(document={"family": None, "kind": "adapter"}, family="", rank=None)
    Version.objects.update(family="", algorithm="", rank=None, **columns)


def test_documents_of_an_older_shape_are_renewed(v1: Version, noir: Adapter) -> None:
    before = BlobAnatomy.objects.get().document
    noir.refresh_from_db()
    changed_at = noir.updated_at
    age()
    told = reinspect.run()
    assert (told.read, told.changed, told.versions) == (1, 1, 1)
    assert BlobAnatomy.objects.get().document == before
    v1.refresh_from_db()
    assert (v1.family, v1.algorithm, v1.rank) == ("sd1", "lora", 4)
    noir.refresh_from_db()
    assert (noir.family, noir.updated_at) == ("sd1", changed_at)
    assert Event.objects.get(verb="files_reinspected").facts == {"count": 1}


def test_a_document_without_the_likely_base_is_of_an_older_shape(v1: Version) -> None:
    row = BlobAnatomy.objects.get()
    whole = dict(row.document)
    base = {key: value for key, value in whole["base"].items() if key != "likely"}
    BlobAnatomy.objects.update(document={**whole, "base": base, "schema": 1})
    assert reinspect.stale().count() == 1
    told = reinspect.run()
    assert (told.read, told.changed, told.versions) == (1, 1, 0)
    row.refresh_from_db()
    assert (row.document, row.is_current) == (whole, True)


def test_what_people_said_and_the_bytes_stay(v1: Version) -> None:
    revision, digest = v1.revision_id, Blob.objects.exclude(files__path="README.md").get().sha256
    age(declared_family="sdxl")
    reinspect.run()
    v1.refresh_from_db()
    assert (v1.trigger_words, v1.notes, v1.declared_family) == (["mine"], "as I said", "sdxl")
    assert (v1.state, v1.revision_id) == ("published", revision)
    cards = File.objects.filter(path="README.md").values_list("blob__sha256", flat=True)
    assert {entry.name for entry in storage.store().names()} == {digest, *cards}


def test_a_second_run_finds_nothing_to_do(v1: Version) -> None:
    age()
    reinspect.run()
    assert reinspect.run().read == 0
    again = reinspect.run(includes_current=True)
    assert (again.read, again.changed, again.versions) == (1, 0, 0)


def test_a_dry_run_counts_and_writes_nothing(v1: Version) -> None:
    age()
    told = reinspect.run(is_dry=True)
    assert (told.read, told.changed, told.versions) == (1, 1, 1)
    assert reinspect.stale().count() == 1
    v1.refresh_from_db()
    assert v1.family == ""


def test_current_documents_are_read_only_when_asked(v1: Version) -> None:
    BlobAnatomy.objects.update(family="sdxl")
    Version.objects.update(family="sdxl")
    assert reinspect.run().read == 0
    assert reinspect.run(includes_current=True).versions == 1
    v1.refresh_from_db()
    assert v1.family == "sd1"


def test_findings_of_the_header_are_renewed_and_those_of_the_numbers_kept(noir: Adapter) -> None:
    catalogue.release(noir, kohya(SD1, metadata={"ss_base_model_version": "sdxl_base_v1-0"}))
    upload, blob = Upload.objects.get(), Blob.objects.exclude(files__path="README.md").get()
    Finding.objects.update(code="family_unknown", message="as an older table said")
    for code in ("modules_silent", "hash_differs"):
        Finding.objects.create(upload=upload, blob=blob, code=code, severity="info", message="-")
    reinspect.run(includes_current=True)
    codes = set(Finding.objects.filter(blob=blob).values_list("code", flat=True))
    assert codes == {"metadata_conflict", "modules_silent", "hash_differs"}


def test_missing_bytes_are_told_and_change_nothing(v1: Version) -> None:
    age()
    digest = Blob.objects.exclude(files__path="README.md").get().sha256
    storage.store().delete(digest)
    told = reinspect.run()
    assert (told.read, told.missing) == (0, [digest])
    assert reinspect.stale().count() == 1


def test_a_file_that_would_be_refused_today_stays_published(v1: Version) -> None:
    blob = Blob.objects.exclude(files__path="README.md").get()
    path = storage.store().link(blob.sha256, storage.Fetch())
    assert isinstance(path, Path)
    path.write_bytes(LORA[:100])  # no reader takes this
    told = reinspect.run(includes_current=True)
    assert (told.refused, told.changed) == ([blob.sha256], 0)
    v1.refresh_from_db()
    assert (v1.state, v1.family) == ("published", "sd1")


def test_progress_is_told_in_files(v1: Version) -> None:
    seen: list[tuple[int, int]] = []
    reinspect.run(includes_current=True, progress=lambda *told: seen.append(told))
    assert seen == [(1, 1)]
