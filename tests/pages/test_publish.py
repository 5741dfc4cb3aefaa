"""Publishing: header first, form filled, file after."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone

from previews.models import Sample
from registry.adapters import services as adapters
from registry.blobs import promote
from registry.cards import services as cards
from registry.models import Adapter, Namespace, Upload, UploadState, Version, Worker
from registry.publication import services as publication
from registry.uploads import selectors
from registry.uploads import services as uploads
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, Target, diffusers, kohya
from tests.pages.files import lora
from tests.previews.sample_files import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries, Settings

    from registry.models import User
    from registry.storage import Written

pytestmark = pytest.mark.django_db

RAW = "application/octet-stream"


def read(client: Client, data: bytes, name: str = "n.safetensors", size: int = 0) -> Any:
    address = f"/publish/read?name={name}&size={size or len(data)}"
    return client.post(address, data, content_type=RAW)


def said(arrived: Upload, **changed: str) -> dict[str, str]:
    fields = {
        "upload": str(arrived.public_id), "title": "Noir", "name": "noir", "kind": "style",
        "maturity": "general", "visibility": "public", "trigger": "noir light",
        "more_words": "hard shadow, ", "strength": "0.9", "strength_min": "0.7",
        "strength_max": "1.0", "tags": "film",
    }  # fmt: skip
    return fields | changed


def test_strangers_sign_in_first(client: Client) -> None:
    assert client.get("/publish").headers["Location"] == "/signin?next=/publish"
    assert read(client, b"x").status_code == 302


def test_the_empty_page_offers_the_drop_and_the_command(as_ada: Client, ada: User) -> None:
    page = as_ada.get("/publish").content.decode()
    assert 'type="file"' in page
    assert "lorary push FILE.safetensors --to ada/NAME" in page
    assert "<noscript>" in page


def test_the_page_names_the_base_models_that_are_rendered(
    as_ada: Client, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "none.toml").write_text("")
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=tmp_path / "none.toml")
    page = as_ada.get("/publish").content.decode()
    assert "This hub has no renderer at present." in page
    assert "Two prompts are rendered" not in page
    base = {"id": "sdxl", "family": "sdxl", "title": "SDXL 1.0"}
    Worker.objects.create(
        name="box:7", queues=["render.sdxl"], facts={"bases": [base]}, seen_at=timezone.now()
    )
    page = " ".join(as_ada.get("/publish").content.decode().split())
    assert (
        "if this hub has a renderer for the base model. It has renderers for Stable Diffusion XL."
        in page
    )


def test_messages_of_several_files_do_not_pile_up(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    for number in (1, 2):
        form = said(sent(ada, rank=4 * number), name=f"noir-{number}", title=f"Noir {number}")
        answer = as_ada.post("/publish", form, headers={"Accept": "application/json"})
        assert answer.status_code == 201
    page = as_ada.get("/").content.decode()
    assert "v1 of Noir 2 is published." in page
    assert "v1 of Noir 1 is published." not in page


def test_a_header_fills_the_form(as_ada: Client, ada: User) -> None:
    answer = read(as_ada, lora(), "hard_noir v2.safetensors")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "Proven by shape: Stable Diffusion 1" in page
    assert "rank" in page
    assert 'name="name"' in page
    assert not Upload.objects.exists()


def test_the_beginning_of_a_file_is_enough(as_ada: Client, ada: User) -> None:
    data = lora()
    head = data[: 8 + int.from_bytes(data[:8], "little")]
    assert read(as_ada, head, size=len(data)).status_code == 200


def test_what_only_the_name_says_is_not_said_to_be_in_the_header(as_ada: Client, ada: User) -> None:
    attention = [one for one in DENOISERS["wan_14b", "native"] if "attn" in one.path]
    page = read(as_ada, kohya(attention), "wan2.2_noir_HN.safetensors").content.decode()
    assert "The file&#x27;s name says Wan 2.2" in page
    assert "Its file name says Wan 2.2." in page
    assert "The header says" not in page
    assert "Its metadata" not in page


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty.safetensors"),
        (b"\x80\x04\x95abc", "pickle.safetensors"),
        (b"<!doctype html><html></html>", "page.safetensors"),
        (b"\xff" * 8 + b"{}", "bomb.safetensors"),
        (b"12345678", "../../etc/passwd"),
    ],
)
def test_a_file_that_is_no_adapter_is_refused_before_it_travels(
    as_ada: Client, data: bytes, name: str
) -> None:
    answer = read(as_ada, data, name)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "This file cannot be accepted" in page
    assert "<form" not in page


@pytest.mark.parametrize("name", ["noir.pt", "noir.CKPT", "noir.zip"])
def test_a_pickle_is_refused_by_its_name(as_ada: Client, name: str) -> None:
    answer = read(as_ada, lora(), name)
    assert answer.status_code == 422
    assert "never accepted" in answer.content.decode()
    assert f"Convert “{name}” to safetensors first" in answer.content.decode()


def test_a_file_over_the_limit_is_refused(as_ada: Client) -> None:
    answer = read(as_ada, lora()[:200], size=10**15)
    assert answer.status_code == 422
    assert "at most" in answer.content.decode()


def test_the_form_publishes(as_ada: Client, ada: User, sent: Callable[..., Upload]) -> None:
    answer = as_ada.post("/publish", said(sent(ada)))
    assert answer.headers["Location"] == "/ada/noir"
    version = Version.objects.get(adapter__key="noir")
    assert version.state == "published"
    assert version.trigger_words == ["noir light", "hard shadow"]
    assert (version.strength_min, version.strength, version.strength_max) == (0.7, 0.9, 1.0)
    assert list(version.adapter.tags.values_list("name", flat=True)) == ["film"]


def test_optional_words_are_kept_and_prefilled_in_the_next_version(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    words = {"optional_trigger_words": "low sun\nrain, at night"}
    as_ada.post("/publish", said(sent(ada)) | words)
    first = Version.objects.get(adapter__key="noir")
    assert first.optional_trigger_words == ["low sun", "rain, at night"]
    data = lora(8)
    address = f"/publish/read?name=n.safetensors&size={len(data)}&to=ada/noir"
    page = as_ada.post(address, data, content_type=RAW).content.decode()
    assert "low sun rain, at night</textarea>" in page
    cleared = {"upload": str(sent(ada, rank=8).public_id), "to": "ada/noir"}
    as_ada.post("/publish", cleared | {"optional_trigger_words": ""})
    assert first.adapter.versions.get(number=2).optional_trigger_words == []


def test_a_fault_of_optional_words_is_at_their_field(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    many = "\n".join(f"word {n}" for n in range(40))
    answer = as_ada.post("/publish", said(sent(ada)) | {"optional_trigger_words": many})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "word 39</textarea>" in page
    assert 'id="f1-optional_trigger_words_error"' in page


def test_pictures_of_the_form_come_into_the_gallery_in_their_order(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    names = ("b.png", "bad.svg", "a.png")
    data = {"b.png": files.png(), "bad.svg": b"<svg/>", "a.png": files.png()}
    chosen = [SimpleUploadedFile(name, data[name]) for name in names]
    answer = as_ada.post("/publish", said(sent(ada)) | {"pictures": chosen}, follow=True)
    page = answer.content.decode()
    assert "v1 of noir is published." in page.lower()
    assert "2 pictures are being checked." in page
    assert "bad.svg: " in page
    rows = Sample.objects.filter(version__adapter__key="noir").order_by("pk")
    assert [row.facts["name"] for row in rows] == ["b.png", "a.png"]


def test_pictures_are_not_kept_without_a_publication(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    form = said(sent(ada), name="-") | {"pictures": SimpleUploadedFile("b.png", files.png())}
    answer = as_ada.post("/publish", form)
    assert answer.status_code == 400
    assert "Choose the pictures again." in answer.content.decode()
    assert not Sample.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_readme_is_stored_outside_of_every_transaction(
    as_ada: Client, ada: User, sent: Callable[..., Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, inside = promote.put, []

    def noted(chunks: Iterable[bytes]) -> Written:
        inside.append(connection.in_atomic_block)
        return put(chunks)

    monkeypatch.setattr(promote, "put", noted)
    as_ada.post("/publish", said(sent(ada)))
    assert inside == [False]
    version = Version.objects.get(adapter__key="noir")
    assert [file.path for file in version.files] == ["noir.safetensors", "README.md"]


def test_what_does_not_fit_the_quota_leaves_no_adapter(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    upload = sent(ada)
    Namespace.objects.filter(user=ada).update(quota_bytes=1)
    assert as_ada.post("/publish", said(upload)).status_code == 400
    assert not Adapter.objects.exists()


def test_a_file_that_was_not_sent_is_not_published(as_ada: Client, ada: User) -> None:
    data = lora()
    upload = uploads.create(actor=ada, path="noir.safetensors", size_bytes=len(data))
    answer = as_ada.post("/publish", said(upload))
    assert answer.status_code == 400
    assert "was not sent completely" in answer.content.decode()
    assert not Adapter.objects.exists()


def test_anothers_upload_cannot_be_published(
    as_ada: Client, bob: User, sent: Callable[..., Upload]
) -> None:
    answer = as_ada.post("/publish", said(sent(bob)))
    assert answer.status_code == 400
    assert not Adapter.objects.exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"name": "a--b"}, "must not contain “--”"),
        ({"tags": "<b>"}, "is not a valid tag"),
        ({"strength": "99"}, "less than or equal to 10"),
        ({"strength_min": "2", "strength_max": "1"}, "above the maximum"),
        ({"upload": ""}, "has not arrived"),
    ],
)
def test_what_does_not_fit_comes_back_with_what_was_said(
    as_ada: Client, ada: User, sent: Callable[..., Upload], changed: dict[str, str], sentence: str
) -> None:
    answer = as_ada.post("/publish", said(sent(ada), **{"title": "Kept title"} | changed))
    page = answer.content.decode()
    assert answer.status_code == 400
    assert sentence in page
    assert "Kept title" in page
    assert "noir light" in page
    assert not Adapter.objects.exists()


def test_ones_own_name_again_makes_the_next_version(
    as_ada: Client, ada: User, noir: Adapter, sent: Callable[..., Upload]
) -> None:
    as_ada.post("/publish", said(sent(ada, rank=8)))
    assert list(noir.versions.values_list("number", flat=True)) == [2, 1]


def test_the_same_bytes_again_are_the_same_version(
    as_ada: Client, ada: User, noir: Adapter, sent: Callable[..., Upload]
) -> None:
    assert as_ada.post("/publish", said(sent(ada))).headers["Location"] == "/ada/noir"
    assert noir.versions.count() == 1


@pytest.mark.parametrize("name", ["noir", "noir-2", "velvet"])
def test_a_file_that_is_published_makes_no_second_adapter(
    as_ada: Client, ada: User, noir: Adapter, sent: Callable[..., Upload], name: str
) -> None:
    upload = sent(ada)
    checked = as_ada.get("/publish/checked", {"upload": str(upload.public_id)}).content.decode()
    opened = as_ada.get("/publish", {"upload": str(upload.public_id)}).content.decode()
    for page in (checked, opened):
        assert "This file is already v1 of Noir" in page
        assert 'href="/ada/noir?v=v1"' in page
        assert 'id="sheet-1"' not in page
    answer = as_ada.post("/publish", said(upload, name=name), follow=True)
    assert answer.redirect_chain == [("/ada/noir", 302)]
    assert "This file is already v1 of Noir." in answer.content.decode()
    assert Adapter.objects.count() == noir.versions.count() == 1


def test_pictures_are_not_added_to_a_version_that_was_published_before(
    as_ada: Client, ada: User, noir: Adapter, sent: Callable[..., Upload]
) -> None:
    def publish(**headers: str) -> str:
        form = said(sent(ada)) | {"pictures": SimpleUploadedFile("b.png", files.png())}
        answer = as_ada.post("/publish", form, follow=True, headers=headers)
        assert answer.status_code == 200
        return answer.content.decode()

    for page in (publish(), publish(accept="application/json")):
        assert "This file is already v1 of Noir" in page
        assert "The pictures were not added to that version." in page
    assert not Sample.objects.exists()
    assert noir.versions.count() == 1


def test_more_files_than_were_published_are_a_new_version(
    as_ada: Client, ada: User, noir: Adapter, sent: Callable[..., Upload]
) -> None:
    weights, text = sent(ada), catalogue.accept(ada, b"How it was made.", "how.txt")
    ids = [str(weights.public_id), str(text.public_id)]
    page = as_ada.get("/publish/checked", {"upload": ids}).content.decode()
    assert "already v1" not in page
    as_ada.post("/publish", said(weights) | {"upload": ids})
    assert noir.versions.count() == 2
    page = as_ada.get("/publish/checked", {"upload": ids}).content.decode()
    assert "This file is already v2 of Noir" in page


def test_versions_with_the_same_weights_are_compared_by_two_queries(
    ada: User, noir: Adapter, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for text in (b"one", b"two", b"three"):
        ids = [
            str(catalogue.accept(ada, lora(), "noir.safetensors").public_id),
            str(catalogue.accept(ada, text, "how.txt").public_id),
        ]
        sent = selectors.many(ada, ids)
        draft = publication.create_draft(actor=ada, adapter=noir, uploads=sent)
        publication.publish(actor=ada, version=draft)
    with django_assert_num_queries(2):
        found = selectors.published_as(ada, noir.namespace, sent)
    assert found is not None
    assert found.name == "v4"


def test_what_another_owner_published_may_be_published_too(
    as_ada: Client, ada: User, bob: User, published: Callable[..., Adapter]
) -> None:
    published(bob, "noir")
    upload = catalogue.accept(ada, lora(), "noir.safetensors")
    page = as_ada.get("/publish/checked", {"upload": str(upload.public_id)}).content.decode()
    assert "already v1" not in page
    assert "These weights are already published: bob/noir v1" in page
    as_ada.post("/publish", said(upload))
    assert Adapter.objects.filter(key="noir").count() == 2


def test_a_new_version_asks_for_no_card(
    as_ada: Client, ada: User, noir: Adapter, sent: Callable[..., Upload]
) -> None:
    data = lora(8)
    page = as_ada.post(
        f"/publish/read?name=n.safetensors&size={len(data)}&to=ada/noir", data, content_type=RAW
    ).content.decode()
    assert 'name="to" value="ada/noir"' in page
    assert 'name="licence"' not in page
    fields = {"upload": str(sent(ada, rank=8).public_id), "to": "ada/noir"}
    assert as_ada.post("/publish", fields).headers["Location"] == "/ada/noir"
    assert noir.versions.count() == 2


def test_a_name_is_judged_while_it_is_typed(as_ada: Client, ada: User, noir: Adapter) -> None:
    def note(name: str) -> str:
        return as_ada.get("/publish/name", {"name": name}).content.decode()

    assert note("fresh") == "Available: the address will be /ada/fresh."
    assert note("NOIR").startswith("This adapter exists: the file becomes a new version after v1")
    assert "letters, digits" in note("<b>")


def test_an_empty_adapter_of_ones_own_can_be_filled(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    adapters.create(actor=ada, name="noir")
    assert as_ada.post("/publish", said(sent(ada))).headers["Location"] == "/ada/noir"
    assert Upload.objects.get().state == UploadState.ACCEPTED


@pytest.mark.parametrize(
    ("present", "chosen"),
    [("public", "private"), ("public", "unlisted"), ("private", "public")],
)
def test_a_file_does_not_join_an_adapter_that_others_see_otherwise(
    as_ada: Client,
    ada: User,
    noir: Adapter,
    sent: Callable[..., Upload],
    present: str,
    chosen: str,
) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, visibility=present)
    answer = as_ada.post("/publish", said(sent(ada, rank=8), visibility=chosen))
    page = answer.content.decode()
    assert answer.status_code == 400
    assert f"visibility “{present.title()}”, not “{chosen.title()}”. Nothing was published." in page
    assert noir.versions.count() == 1
    noir.refresh_from_db()
    assert noir.visibility == present


def test_a_private_adapter_takes_the_next_private_version(
    as_ada: Client, ada: User, noir: Adapter, sent: Callable[..., Upload]
) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    answer = as_ada.post("/publish", said(sent(ada, rank=8), visibility="private"))
    assert answer.headers["Location"] == "/ada/noir"
    assert noir.versions.count() == 2


def test_an_odd_target_is_refused_by_its_form(as_ada: Client, sent: Callable[..., Upload]) -> None:
    for to in ("ada/\0", "\0/noir", "ada/a--b"):
        answer = as_ada.post("/publish", {"to": to})
        assert answer.status_code == 400
        assert "This name cannot be used" in answer.content.decode()


def test_an_odd_file_name_keeps_its_own_sentence(as_ada: Client) -> None:
    answer = read(as_ada, lora(), "a%00.safetensors")
    assert answer.status_code == 422
    assert "invisible characters" in answer.content.decode()
    note = as_ada.get("/publish/name", {"name": "a\0"})
    assert (note.status_code, "letters, digits" in note.content.decode()) == (200, True)


@pytest.mark.parametrize(
    ("path", "name", "source"),
    [
        ("velvet.safetensors", "velvet", "From the file&#x27;s name"),
        ("noir v2.safetensors", "noir", "From the file&#x27;s name"),
        ("hard_noir-v2.1_final.safetensors", "hard_noir", "From the file&#x27;s name"),
        ("glass.safetensors", "glass", "From the file&#x27;s name"),
        ("glass-000004.safetensors", "glass", "From the file&#x27;s name"),
        ("glass_v1-step00001000.safetensors", "glass", "From the file&#x27;s name"),
        ("glass_000002500 (1).safetensors", "glass", "From the file&#x27;s name"),
        ("checkpoint-500.safetensors", "glass", "From the header"),
        ("pytorch_lora_weights.safetensors", "glass", "From the header"),
        ("default-fp16.safetensors", "glass", "From the header"),
        ("PyTorch LoRA weights 2.safetensors", "glass", "From the header"),
        ("my lora3.safetensors", "glass", "From the header"),
        ("雨.safetensors", "glass", "From the header"),
    ],
)
def test_an_address_is_suggested_from_the_files_own_name(
    as_ada: Client, path: str, name: str, source: str
) -> None:
    data = kohya(DENOISERS["sd1", "diffusers"], rank=4, metadata={"ss_output_name": "glass"})
    page = read(as_ada, data, path).content.decode()
    assert f'value="{name}" aria-describedby="f1-note"' in page
    assert 'name="title" value="Glass"' in page
    beside = page.partition('id="f1-note"')[2].partition("evrow")[0]
    assert source in beside
    assert (path if "file" in source else "<span>glass</span>") in beside


def test_the_sheet_says_loudly_what_contradicts_the_file(as_ada: Client) -> None:
    metadata = {
        "ss_base_model_version": "flux1",
        "ss_sd_model_name": "ponyDiffusionV6XL.safetensors",
    }
    data = kohya(DENOISERS["sdxl", "sgm"], metadata=metadata)
    page = read(as_ada, data).content.decode()
    assert "Proven by shape: Stable Diffusion XL" in page
    assert "The file claims FLUX.1 (ss_base_model_version)" in page
    assert "Evidence" in page
    assert 'name="lineage" value="Pony' in page


def test_the_sheet_shows_training_and_where_each_word_is_written(as_ada: Client) -> None:
    metadata = {"modelspec.trigger_phrase": "glass tube", "ss_steps": "1200"}
    page = read(as_ada, kohya(DENOISERS["sdxl", "sgm"], metadata=metadata)).content.decode()
    assert "modelspec.trigger_phrase (stated)" in page
    assert "<dt>Steps</dt><dd>1200</dd>" in page


def test_families_are_chosen_from_groups(as_ada: Client) -> None:
    page = read(as_ada, lora()).content.decode()
    assert '<optgroup label="Pictures">' in page


def test_a_checkpoint_of_another_base_model_is_not_proposed(as_ada: Client) -> None:
    metadata = {"ss_sd_model_name": "ponyDiffusionV6XL.safetensors"}
    page = read(as_ada, kohya(DENOISERS["sd1", "diffusers"], metadata=metadata)).content.decode()
    assert 'name="lineage" value="Pony' not in page
    assert "The header says Pony Diffusion V6 XL" in page
    assert "the tensors rule out this checkpoint" in page


def test_what_the_tensors_allow_is_offered_first(as_ada: Client) -> None:
    flux = [Target("double_blocks.0.img_attn.qkv", (9216, 3072))]
    page = read(as_ada, kohya(flux)).content.decode()
    group = page.partition('<optgroup label="What its tensors allow">')[2].partition("</optgroup>")
    assert 'value="flux1"' in group[0]
    assert 'value="chroma"' in group[0]
    assert 'value="flux1"' not in group[2]
    assert '<option value="flux1" selected>' in page
    others = "FLUX.1 lite 8B, Chroma, FLUX.2 klein 4B or HunyuanVideo"
    assert f"FLUX.1; adapters for {others} have the same structure" in page
    assert "The most likely base model is selected." in page
    assert "What its tensors allow" not in read(as_ada, lora()).content.decode()


def test_a_new_version_keeps_the_base_of_the_one_before(as_ada: Client, ada: User) -> None:
    flux = kohya([Target("double_blocks.0.img_mlp.0", (12288, 3072))])
    chroma = adapters.create(actor=ada, name="chroma")
    catalogue.release(chroma, flux, Details(declared_family="chroma"))
    address = f"/publish/read?name=n.safetensors&size={len(flux)}&to=ada/chroma"
    page = as_ada.post(address, flux, content_type=RAW).content.decode()
    assert '<option value="chroma" selected>' in page


def test_a_family_that_a_label_chose_is_not_called_proven(as_ada: Client) -> None:
    vector = [one for one in DENOISERS["framepack", "diffusers"] if "clean" not in one.path]
    metadata = {"ss_network_module": "networks.lora_framepack"}
    data = diffusers(vector, component="transformer", metadata=metadata)
    page = read(as_ada, data).content.decode()
    assert "The header says FramePack" in page
    assert "Proven by shape: FramePack" not in page


@pytest.mark.parametrize("data", [b"12345678", b"\xff" * 8 + b"{}", b"\x80\x04\x95abc"])
def test_a_refusal_has_no_raw_facts(as_ada: Client, data: bytes) -> None:
    page = read(as_ada, data).content.decode()
    assert "This file cannot be accepted" in page
    assert not re.search(r"(offset|size|limit|length|suffix|name|kind): ", page)


def test_a_refusal_leads_to_what_to_do(as_ada: Client) -> None:
    page = read(as_ada, b"\x80\x04\x95" + bytes(99)).content.decode()
    assert 'href="/help/findings#is_pickle"' in page
