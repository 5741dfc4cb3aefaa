"""Which versions hold the file that somebody knows a hash of, and who is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from safetensors.numpy import save

from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.blobs import by_hash
from registry.errors import Invalid, NotFound
from registry.models import Blob, BlobHash, Upload, User, Version
from registry.publication import services as publication
from registry.scan import hashes as file_hashes
from registry.versions import services as versions
from tests import catalogue
from tests.builders.adapters import kohya
from tests.builders.weights import safetensors
from tests.registry.files import LORA, OTHER, SD1

if TYPE_CHECKING:
    from registry.models import Adapter

pytestmark = pytest.mark.django_db(transaction=True)

NOBODY = AnonymousUser()

#: The weights of LORA under another header.
RENAMED = kohya(SD1, metadata={"modelspec.title": "Noir, again"})
RESTORED = "v1"


@pytest.fixture
def v1(noir: Adapter) -> Version:
    return noir.versions.first() or catalogue.release(noir, LORA)


def kept() -> dict[str, str]:
    return dict(BlobHash.objects.values_list("kind", "value"))


def found(user: User | AnonymousUser, text: str, kind: str = "") -> list[tuple[str, str, str]]:
    """Return kind, adapter and version of each match."""
    return [
        (match.kind, match.version.adapter.full_name, match.version.name)
        for match in by_hash.by_hashes(user, [text], kind)[text]
    ]


def test_every_kind_finds_the_file_in_any_case(v1: Version) -> None:
    known = kept()
    assert set(known) == {
        "sha256", "autov2", "data_sha256", "autov3", "crc32", "blake3", "tensors", "weights_f16",
        "weights_bf16",
    }  # fmt: skip
    for kind, value in known.items():
        for text in (value, value.upper(), f"0x{value}", f" {value}\n"):
            assert found(NOBODY, text) == [(kind, "ada/noir", "v1")]
        (match,) = by_hash.by_hash(NOBODY, value, kind)
        assert (match.kind, match.value, match.file.path) == (kind, value, "noir.safetensors")


def test_autov1_finds_a_file_that_is_long_enough(noir: Adapter) -> None:
    shape = {"lora_unet_a.lora_down.weight": ("F32", (8, 20_000)),
             "lora_unet_a.lora_up.weight": ("F32", (20_000, 8))}  # fmt: skip
    catalogue.release(noir, safetensors(shape))
    assert found(NOBODY, kept()["autov1"]) == [("autov1", "ada/noir", "v1")]


def test_a_crc32_is_found_with_its_bytes_in_the_other_order(v1: Version) -> None:
    assert found(NOBODY, file_hashes.swapped(kept()["crc32"])) == [("crc32", "ada/noir", "v1")]


def test_a_prefix_is_understood(v1: Version) -> None:
    assert found(NOBODY, "blake3:" + kept()["blake3"])[0][0] == "blake3"


def test_only_the_kind_that_was_asked_for_is_searched(v1: Version) -> None:
    assert found(NOBODY, kept()["sha256"], "blake3") == []
    assert found(NOBODY, kept()["sha256"], "sha256") != []


def test_other_headers_share_the_hashes_of_the_tensors_alone(v1: Version, noir: Adapter) -> None:
    catalogue.release(noir, RENAMED)
    rows = BlobHash.objects.filter(blob__sha256=v1.files[0].sha256)
    known = dict(rows.values_list("kind", "value"))
    for kind in ("data_sha256", "autov3", "tensors", "weights_f16", "weights_bf16"):
        names = [name for _, _, name in found(NOBODY, known[kind])]
        assert names == ["v1", "v2"], kind
    for kind in ("sha256", "crc32", "blake3", "autov2"):
        assert [name for _, _, name in found(NOBODY, known[kind])] == ["v1"], kind


def test_several_matches_come_in_the_order_of_publication(v1: Version, bob: User) -> None:
    catalogue.release(adapters.create(actor=bob, name="aaa"), LORA)
    assert [one for _, one, _ in found(NOBODY, kept()["sha256"])] == ["ada/noir", "bob/aaa"]


def test_files_beside_the_weights_are_not_found(noir: Adapter, ada: User) -> None:
    card = catalogue.accept(ada, b"# Noir", "notes.md")
    draft = publication.create_draft(
        actor=ada, adapter=noir, uploads=[catalogue.accept(ada, LORA), card]
    )
    publication.publish(actor=ada, version=draft)
    assert found(NOBODY, card.sha256) == []


def test_private_adapters_and_drafts_are_not_found_by_others(
    noir: Adapter, ada: User, bob: User
) -> None:
    publication.create_draft(actor=ada, adapter=noir, uploads=[catalogue.accept(ada, LORA)])
    sha256 = kept()["sha256"]
    assert found(ada, sha256) == []
    hidden = adapters.create(actor=ada, name="mine", visibility="private")
    catalogue.release(hidden, LORA)
    assert found(bob, sha256) == []
    assert found(NOBODY, sha256) == []
    assert found(ada, sha256) == [("sha256", "ada/mine", "v1")]
    with pytest.raises(NotFound):
        by_hash.by_hash(bob, sha256)


def test_unlisted_adapters_are_found_by_whole_digests_only(ada: User, bob: User) -> None:
    catalogue.release(adapters.create(actor=ada, name="shy", visibility="unlisted"), LORA)
    for value in kept().values():
        assert bool(found(bob, value)) == (len(value) == 64)
        assert found(ada, value)


def test_a_blocked_adapter_is_not_found(v1: Version, noir: Adapter) -> None:
    type(noir).objects.update(blocked_reason="spam")
    assert found(NOBODY, kept()["sha256"]) == []


def test_yanked_versions_are_found(v1: Version, ada: User) -> None:
    versions.yank(actor=ada, version=v1, reason="overcooked")
    assert found(NOBODY, kept()["sha256"]) == [("sha256", "ada/noir", "v1")]


def test_what_can_be_no_hash_is_refused(subtests: pytest.Subtests) -> None:
    for text in ["", "xyz", "abc", "a" * 63, "g" * 64, "a" * 65, "a\0" * 4, "é" * 8]:
        with subtests.test(text=text), pytest.raises(Invalid):
            by_hash.by_hash(NOBODY, text)


def test_too_many_at_once_are_refused() -> None:
    most = settings.LORARY.max_hashes
    with pytest.raises(Invalid):
        by_hash.by_hashes(NOBODY, [f"{n:08x}" for n in range(most + 1)])


def test_many_at_once_are_each_answered(v1: Version, noir: Adapter) -> None:
    catalogue.release(noir, OTHER)
    values = list(BlobHash.objects.values_list("value", flat=True))
    asked = [*values, "0" * 64]
    answered = by_hash.by_hashes(NOBODY, asked)
    assert list(answered) == asked
    assert [bool(matches) for matches in answered.values()] == [True] * len(values) + [False]


def test_matches_are_a_bounded_list(noir: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_hash, "MAX_MATCHES", 1)
    catalogue.release(noir, LORA)
    catalogue.release(noir, RENAMED)
    value = BlobHash.objects.filter(kind="tensors").values_list("value", flat=True)[0]
    assert [name for _, _, name in found(NOBODY, value)] == ["v1"]


def test_rows_are_hashes_whoever_writes_them(v1: Version) -> None:
    blob = Blob.objects.exclude(files__path="README.md").get()
    for kind, value in [("sha256", "ab" * 32), ("autov1", "XYZ"), ("autov1", "AB" * 4)]:
        with pytest.raises(IntegrityError), transaction.atomic():
            BlobHash.objects.create(blob=blob, kind=kind, value=value)


def test_the_same_bytes_again_keep_one_row_a_kind(v1: Version, bob: User) -> None:
    before = list(BlobHash.objects.values_list())
    catalogue.accept(bob, LORA)
    assert list(BlobHash.objects.values_list()) == before


def searched(user: User | AnonymousUser, text: str) -> list[str]:
    page = adapter_selectors.search(user, adapter_selectors.Query(q=text))
    return [adapter.full_name for adapter in page.results]


def test_a_search_takes_hashes_for_words(v1: Version, noir: Adapter, bob: User) -> None:
    catalogue.release(adapters.create(actor=bob, name="other"), OTHER)
    for value in v1.files[0].blob.hash_rows.values_list("value", flat=True):
        assert searched(NOBODY, value.upper()) == ["ada/noir"]
        assert searched(NOBODY, f"noir {value}") == ["ada/noir"]
        assert searched(NOBODY, f"other {value}") == []
    assert searched(NOBODY, "0" * 64) == []


def test_the_beginning_of_a_sha256_is_enough(v1: Version, noir: Adapter, bob: User) -> None:
    catalogue.release(adapters.create(actor=bob, name="other"), OTHER)
    sha256 = v1.files[0].sha256
    for digits in (8, 9, 12, 16, 20, 63):
        assert searched(NOBODY, sha256[:digits].upper()) == ["ada/noir"]
        assert searched(NOBODY, f"sha256:{sha256[:digits]}") == ["ada/noir"]
    assert searched(NOBODY, f"{sha256[:8]}…{sha256[-4:]}") == ["ada/noir"]
    assert searched(NOBODY, sha256[:7]) == []
    assert searched(NOBODY, f"{sha256[:16]}{'0' * 8}") == []


@pytest.mark.parametrize("visibility", ["private", "unlisted"])
def test_a_search_by_hash_shows_what_lists_show(ada: User, bob: User, visibility: str) -> None:
    catalogue.release(adapters.create(actor=ada, name="mine", visibility=visibility), LORA)
    for value in kept().values():
        assert searched(bob, value) == searched(bob, value[:16]) == []
        assert searched(ada, value) == ["ada/mine"]


def trained(dtype: type[np.floating[Any]], alpha: float = 4) -> bytes:
    """Return an adapter as diffusers writes it, its alpha in the metadata."""
    rng = np.random.default_rng(3)
    down = rng.standard_normal((4, 320)).astype(np.float32) / 50
    up = rng.standard_normal((320, 4)).astype(np.float32) / 50
    path = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = {
        f"{path}.lora_A.weight": down.astype(dtype),
        f"{path}.lora_B.weight": up.astype(dtype),
    }
    settings = json.dumps({"unet.r": 4, "unet.lora_alpha": alpha})
    return save(tensors, {"lora_adapter_metadata": settings})


def known(upload: Upload) -> list[dict[str, str]]:
    rows = upload.findings.filter(code="weights_known")
    return [place for row in rows for place in row.evidence["places"]]


def test_who_sends_published_weights_is_told_where_they_are(v1: Version, bob: User) -> None:
    same = catalogue.accept(bob, LORA)
    assert known(same) == [{"adapter": "ada/noir", "version": "v1", "same": "file"}]
    again = catalogue.accept(bob, RENAMED)
    assert known(again) == [{"adapter": "ada/noir", "version": "v1", "same": "tensors"}]
    assert {row.severity for row in again.findings.filter(code="weights_known")} == {"warning"}
    assert known(catalogue.accept(bob, OTHER)) == []


def test_a_copy_in_another_number_format_is_known_and_a_stronger_one_is_not(
    noir: Adapter, ada: User, bob: User
) -> None:
    single = trained(np.float32)
    catalogue.release(noir, single)
    assert known(catalogue.accept(bob, trained(np.float16))) == [
        {"adapter": "ada/noir", "version": "v1", "same": "weights"}
    ]
    strong = trained(np.float32, alpha=8)
    assert known(catalogue.accept(bob, strong)) == []


@pytest.mark.parametrize("visibility", ["private", "unlisted"])
def test_nobody_is_told_of_adapters_that_lists_do_not_show_them(
    ada: User, bob: User, visibility: str
) -> None:
    hidden = adapters.create(actor=ada, name="mine", visibility=visibility)
    catalogue.release(hidden, LORA)
    assert known(catalogue.accept(bob, RENAMED)) == []
    assert known(catalogue.accept(ada, RENAMED)) == [
        {"adapter": "ada/mine", "version": "v1", "same": "tensors"}
    ]


def test_what_an_uploader_is_told_is_nobody_elses(ada: User, bob: User) -> None:
    catalogue.release(adapters.create(actor=ada, name="mine", visibility="private"), LORA)
    told = catalogue.accept(ada, RENAMED)
    assert known(told)
    shared = catalogue.release(adapters.create(actor=bob, name="other"), RENAMED)
    assert "weights_known" not in shared.files[0].blob.findings.values_list("code", flat=True)


def test_the_migration_makes_rows_of_what_is_known(v1: Version) -> None:
    blob = Blob.objects.exclude(files__path="README.md").get()
    whole = set(BlobHash.objects.values_list("kind", "value"))
    BlobHash.objects.all().delete()
    data = blob.hashes["data_sha256"]
    Blob.objects.update(hashes={"autov2": "", "autov3": data[:12], "data_sha256": data})
    executor = MigrationExecutor(connection)
    state = executor.loader.project_state([("registry", "0006_fill_blob_hashes")])
    module = executor.loader.get_migration("registry", "0006_fill_blob_hashes")
    module.operations[0].code(state.apps, None)  # type: ignore[attr-defined]  # RunPython
    rows = set(BlobHash.objects.values_list("kind", "value"))
    assert {kind for kind, _ in rows} == {"sha256", "autov2", "autov3", "data_sha256"}
    assert rows <= whole
