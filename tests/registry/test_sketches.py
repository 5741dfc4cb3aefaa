"""Sketches that checks store, the relations that they show, and who is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lorary.algebra.recognition.relating import Facts
from lorary.algebra.recognition.sketch import sketch_file
from registry import sweep
from registry.adapters import services as adapters
from registry.blobs import rehash, relatives, sketch_index, sketches
from registry.blobs.relatives import Relative
from registry.blobs.sketch_index import SketchIndex
from registry.models import (
    Blob,
    BlobRelation,
    BlobSketch,
    Finding,
    Upload,
    UploadState,
    User,
    Version,
    VersionState,
    WeightSketch,
)
from registry.uploads import check
from registry.uploads import services as uploads
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.builders.relatives import rewritten, write_original
from tests.builders.weights import safetensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.django_db


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "original.safetensors"
    write_original(path, "sd1", "kohya", seed=3, modules=8)
    return path


@pytest.fixture
def half(original: Path, tmp_path: Path) -> Path:
    """A copy that no digest of values finds: in fp16 and stronger."""
    out = tmp_path / "half.safetensors"
    return rewritten(
        original,
        out,
        lambda name, array: (array * (2 if "lora_up" in name else 1)).astype(np.float16),
    )


def release(user: User, name: str, path: Path, visibility: str = "public") -> Version:
    there = adapters.create(actor=user, name=name, visibility=visibility)
    return catalogue.release(there, path.read_bytes(), path=path.name)


def found(upload: Upload) -> list[Finding]:
    return list(upload.findings.filter(code="weights_related"))


def names(rows: list[Relative]) -> list[str]:
    return [f"{row.version.adapter.full_name} {row.kind}" for row in rows]


def test_the_stored_sketch_is_that_of_the_file(ada: User, original: Path) -> None:
    catalogue.accept(ada, original.read_bytes())
    expected = sketch_file(original)
    assert expected is not None
    row = BlobSketch.objects.get()
    assert bytes(row.weights.data) == expected.to_bytes()
    assert (row.dtype, row.naming, row.is_related) == ("F32", "kohya", True)
    vector = np.frombuffer(bytes(row.vector), "<f2")
    assert float(vector @ expected.vector()) == pytest.approx(1, abs=1e-3)


def test_an_uploader_is_told_of_a_copy_in_another_form(
    ada: User, bob: User, original: Path, half: Path
) -> None:
    release(ada, "noir", original)
    (told,) = found(catalogue.accept(bob, half.read_bytes()))
    assert (told.severity, told.blob) == ("warning", None)
    (place,) = told.evidence["places"]
    assert place == {
        "adapter": "ada/noir",
        "version": "v1",
        "relation": "strength",
        "cosine": pytest.approx(1, abs=1e-4),
    }
    assert BlobRelation.objects.count() == 2
    assert not found(catalogue.accept(bob, kohya(DENOISERS["sd1", "diffusers"])))


def test_bytes_that_are_not_sent_again_are_told_about_too(
    ada: User, bob: User, original: Path, half: Path
) -> None:
    release(ada, "noir", original)
    first = catalogue.accept(bob, half.read_bytes())
    release(ada, "half", half)
    again = uploads.create(
        actor=bob, path="x.safetensors", size_bytes=first.size_bytes, sha256=first.sha256
    )
    (told,) = found(again)
    assert [place["adapter"] for place in told.evidence["places"]] == ["ada/noir"]


def test_hidden_adapters_are_nobodys_relatives(
    ada: User, bob: User, original: Path, half: Path
) -> None:
    release(ada, "mine", original, visibility="private")
    release(ada, "link", original, visibility="unlisted")
    own = release(bob, "half", half)
    assert not found(catalogue.accept(bob, half.read_bytes()))
    for user in (bob, None):
        assert relatives.of_version(user, own) == []
    assert names(relatives.of_version(ada, own)) == ["ada/mine strength", "ada/link strength"]
    sketch = sketch_file(half)
    assert sketch is not None
    assert names(relatives.of_sketch(None, sketch, Facts())) == ["bob/half same_weights"]


def test_drafts_and_withdrawn_versions_are_no_relatives(
    ada: User, bob: User, original: Path, half: Path
) -> None:
    there = release(ada, "noir", original)
    own = release(bob, "half", half)
    assert names(relatives.of_version(None, own)) == ["ada/noir strength"]
    for state in (VersionState.DRAFT, VersionState.WITHDRAWN):
        catalogue.put(Version.objects.filter(pk=there.pk), state)
        assert relatives.of_version(None, own) == []


def test_the_same_file_and_weights_come_first(
    ada: User, bob: User, original: Path, half: Path
) -> None:
    own = release(ada, "noir", original)
    release(bob, "half", half)
    release(bob, "same", original)
    assert names(relatives.of_version(None, own)) == ["bob/same same_file", "bob/half strength"]


def test_the_closest_versions_are_read_not_the_oldest(
    ada: User, bob: User, original: Path, half: Path
) -> None:
    own = release(ada, "noir", original)
    release(bob, "half", half)
    release(bob, "same", original)
    assert names(relatives.of_version(None, own, most=1)) == ["bob/same same_file"]


def test_relations_that_a_killed_worker_left_out_are_written_by_the_next(
    ada: User, bob: User, original: Path, half: Path
) -> None:
    release(ada, "noir", original)
    own = release(bob, "half", half)
    BlobRelation.objects.all().delete()
    BlobSketch.objects.update(is_related=False)
    assert sketches.relate_new() == 2
    assert sketches.relate_new() == 0
    assert names(relatives.of_version(None, own)) == ["ada/noir strength"]


def test_an_upload_relates_itself_before_what_was_left(
    ada: User, bob: User, original: Path, half: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(ada, "noir", original)
    BlobSketch.objects.update(is_related=False)
    monkeypatch.setattr(check, "MAX_RELATED", 1)
    catalogue.accept(bob, half.read_bytes())
    rows = BlobSketch.objects.order_by("pk")
    assert list(rows.values_list("is_related", flat=True)) == [False, True]
    assert BlobRelation.objects.count() == 2


def test_a_damaged_sketch_does_not_stop_the_others(
    ada: User, original: Path, half: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue.accept(ada, original.read_bytes())
    catalogue.accept(ada, kohya(DENOISERS["sd1", "diffusers"]))
    damaged = BlobSketch.objects.latest("pk")
    WeightSketch.objects.filter(pk=damaged.pk).update(data=b"cut")
    BlobSketch.objects.update(is_related=False)
    assert sketches.relate_new() == 1
    assert f"sketch {damaged.pk} can't be related" in caplog.text
    assert sketches.relate_new() == 0
    WeightSketch.objects.update(data=b"cut")
    assert catalogue.accept(ada, half.read_bytes()).state == UploadState.ACCEPTED


def test_an_interrupted_run_has_related_what_it_read(
    ada: User, original: Path, half: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.accept(ada, original.read_bytes())
    catalogue.accept(ada, half.read_bytes())
    BlobSketch.objects.all().delete()
    monkeypatch.setattr(rehash, "RELATED_EVERY", 1)

    def interrupt(done: int, _total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rehash.run(progress=interrupt)
    assert BlobSketch.objects.get().is_related


def test_sketches_of_an_older_release_are_made_by_reading_files(
    ada: User, bob: User, original: Path, half: Path
) -> None:
    release(ada, "noir", original)
    own = release(bob, "half", half)
    catalogue.accept(ada, kohya(DENOISERS["sd1", "diffusers"]))
    kept = set(WeightSketch.objects.values_list("data", flat=True))
    BlobSketch.objects.all().delete()
    BlobRelation.objects.all().delete()
    assert rehash.without_all_hashes().count() == 3
    assert rehash.run().changed == 3
    assert set(WeightSketch.objects.values_list("data", flat=True)) == kept
    assert names(relatives.of_version(None, own)) == ["ada/noir strength"]
    assert rehash.run().read == 0


def test_the_index_reads_new_rows_and_a_restored_database(ada: User) -> None:
    index = SketchIndex()
    random = np.random.default_rng(1)
    vectors = random.standard_normal((3, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def store(number: int, vector: int) -> int:
        blob = Blob.objects.create(sha256=f"{number:064x}", size_bytes=1)
        data = vectors[vector].astype("<f2").tobytes()
        return BlobSketch.objects.create(blob=blob, form=1, vector=data).pk

    first = store(1, 0)
    assert [one.sketch_id for one in index.nearest(vectors[0])] == [first]
    second = store(2, 1)
    assert [one.sketch_id for one in index.nearest(-vectors[1])] == [second]
    BlobSketch.objects.filter(pk=second).update(vector=vectors[2].astype("<f2").tobytes())
    assert [one.sketch_id for one in index.nearest(vectors[2])] == [second]
    assert index.nearest(vectors[1]) == []


def test_the_index_keeps_a_row_that_is_committed_late_once(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sketch_index, "OVERLAP", 4)
    index = SketchIndex()
    vectors = np.eye(64, dtype=np.float32)

    def store(pk: int) -> None:
        blob = Blob.objects.create(sha256=f"{pk:064x}", size_bytes=1)
        data = vectors[pk].astype("<f2").tobytes()
        BlobSketch.objects.create(pk=pk, blob=blob, form=1, vector=data)

    for pk in (1, 2, 3, 4, 5, 6, 7, 8, 10):
        store(pk)
    index.nearest(vectors[1])
    store(9)
    for _read in range(3):
        assert [one.sketch_id for one in index.nearest(vectors[9])] == [9]
    store(12)
    store(11)
    for pk in range(1, 13):
        assert [one.sketch_id for one in index.nearest(vectors[pk])] == [pk]


def test_the_same_bytes_keep_their_sketch(ada: User, bob: User, original: Path) -> None:
    catalogue.accept(ada, original.read_bytes())
    row = BlobSketch.objects.get()
    catalogue.accept(bob, original.read_bytes())
    assert BlobSketch.objects.get().pk == row.pk
    BlobSketch.objects.update(run="other")
    catalogue.accept(bob, original.read_bytes())
    assert BlobSketch.objects.get().run == row.run


def test_a_sweep_forgets_the_sketches_of_deleted_bytes(
    ada: User, original: Path, half: Path, own_settings: Callable[..., None]
) -> None:
    release(ada, "noir", original)
    catalogue.accept(ada, half.read_bytes())
    assert BlobRelation.objects.count() == 2
    own_settings(grace_days=0)
    Upload.objects.all().delete()
    for _round in range(2):  # marked, then released
        sweep.run()
    assert BlobSketch.objects.get().blob.files.exists()
    assert not BlobRelation.objects.exists()


def test_hidden_copies_leave_room_for_published_ones(
    ada: User, bob: User, original: Path, half: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(ada, "noir", original)
    for number in range(3):
        hidden = original.read_bytes()
        at = int.from_bytes(hidden[:8], "little")
        spaced = (at + number + 1).to_bytes(8, "little") + hidden[8 : 8 + at] + b" " * (number + 1)
        catalogue.accept(bob, spaced + hidden[8 + at :])
    monkeypatch.setattr(sketches, "MAX_CANDIDATES", 2)
    monkeypatch.setattr(sketches, "INDEX", index := SketchIndex())
    sketch = sketch_file(half)
    assert sketch is not None
    monkeypatch.setattr(
        index,
        "nearest",
        lambda vector: sorted(SketchIndex.nearest(index, vector), key=lambda one: -one.sketch_id),
    )
    assert names(relatives.of_sketch(None, sketch, Facts())) == ["ada/noir strength"]


def test_weights_that_cannot_be_sketched_have_an_empty_one(ada: User) -> None:
    module = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    data = safetensors({f"base_model.model.{module}.ia3_l": ("F16", (320,))})
    assert catalogue.accept(ada, data).state == UploadState.ACCEPTED
    assert bytes(BlobSketch.objects.get().vector) == b""
    assert not WeightSketch.objects.exists()
