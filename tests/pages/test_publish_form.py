"""The publish form as it opens: what is filled in, what is folded, what the file looks like."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from registry.adapters import services as adapters
from registry.models import Adapter, Version
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, Target, kohya
from tests.pages.files import lora
from tests.pages.forms import fields_of, required_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Upload, User

pytestmark = pytest.mark.django_db

SD1, SDXL = DENOISERS["sd1", "diffusers"], DENOISERS["sdxl", "sgm"]
SD1_TITLE, SD1_NAME = "Stable Diffusion 1.x LoRA", "stable-diffusion-1.x-lora"
FLUX = DENOISERS["flux1", "diffusers"]
DOUBLE = [Target("double_blocks.0.img_mlp.0", (12288, 3072))]  # Chroma has it too


def read(client: Client, data: bytes, name: str = "n.safetensors", **query: str) -> str:
    asked = "".join(f"&{key}={value}" for key, value in query.items())
    address = f"/publish/read?name={name}&size={len(data)}{asked}"
    return str(client.post(address, data, content_type="application/octet-stream").content.decode())


def folded(page: str) -> str:
    """Return the line that stands for the folded part, as it reads."""
    line = page.partition('<details class="fold"')[2].partition("<summary")[2]
    line = line.partition("</summary>")[0].partition(">")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", line).split())


@pytest.mark.parametrize("turn", [1, 2])
def test_a_newcomer_publishes_three_files_without_an_answer(
    as_ada: Client, ada: User, turn: int
) -> None:
    files = {
        "noir-ink-000010.safetensors": kohya(SDXL, rank=4 * turn, alpha=2.0),
        "Glass Tube Style.safetensors": lora(8 * turn),
        "pytorch_lora_weights.safetensors": kohya(FLUX, rank=2 * turn, alpha=None),
    }
    for name, data in files.items():
        page = read(as_ada, data, name)
        assert required_in(page) == []
        upload = catalogue.accept(ada, data, name)
        answer = as_ada.post("/publish", fields_of(page) | {"upload": str(upload.public_id)})
        assert answer.status_code == 302, name
    assert Version.objects.filter(state="published").count() == 3
    assert set(Adapter.objects.values_list("family", flat=True)) == {"sdxl", "sd1", "flux1"}


def test_what_people_care_about_is_open_and_the_rest_is_folded(as_ada: Client) -> None:
    page = read(as_ada, kohya(SDXL, rank=16, alpha=8.0), "noir-ink.safetensors")
    front, details = page.split('<details class="fold"', 1)
    assert {"title", "name", "more_words", "tags", "licence"} <= set(
        re.findall(r'name="(\w+)"', front)
    )
    assert {"kind", "family", "visibility", "card", "notes"} <= set(
        re.findall(r'name="(\w+)"', details)
    )
    assert folded(page) == (
        "Details Style · Stable Diffusion XL, proven · LoRA, rank 16, alpha 8 · Public · General"
    )


def test_a_base_model_that_only_the_user_knows_is_asked_in_front(as_ada: Client) -> None:
    page = read(as_ada, kohya([Target("blocks.0.some.layer", (96, 48))]))
    front, details = page.split('<details class="fold"', 1)
    assert 'name="family"' in front
    assert 'name="family"' not in details
    assert "data-base-open" in page
    assert "base model unknown" in folded(page)


def test_a_fault_opens_the_fold_and_is_linked(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    fields = {"upload": str(sent(ada).public_id), "name": "noir", "kind": "style"}
    rest = {"maturity": "general", "visibility": "public", "strength": "99"}
    page = as_ada.post("/publish", fields | rest).content.decode()
    assert re.search(r"<details[^>]* open", page)
    assert '<a href="#f1-strength">Best strength</a>: Ensure this value is less' in page


def test_a_fault_in_front_leaves_the_fold_closed(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    fields = {"upload": str(sent(ada).public_id), "name": "a--b", "kind": "style"}
    rest = {"maturity": "general", "visibility": "public", "licence": "invented"}
    page = as_ada.post("/publish", fields | rest).content.decode()
    assert "<details" in page
    assert not re.search(r"<details[^>]* open", page)
    assert '<a href="#f1-licence">Licence for pictures</a>' in page
    del rest["licence"]
    page = as_ada.post("/publish", fields | rest).content.decode()
    assert not re.search(r"<details[^>]* open", page)
    assert '<a href="#f1-name">Address</a>: A name must not contain' in page
    assert re.search(r'id="f1-name"[^>]*aria-describedby="f1-note f1-fault"', page)


def test_an_address_that_is_taken_gets_a_number(as_ada: Client, ada: User, noir: Adapter) -> None:
    assert fields_of(read(as_ada, lora(8), "noir.safetensors", to=""))["name"] == ["noir-2"]
    noir.name = noir.key = "velvet"
    noir.save()
    assert fields_of(read(as_ada, lora(8), "noir.safetensors"))["name"] == ["noir-2"]
    assert fields_of(read(as_ada, lora(8), "fresh.safetensors"))["name"] == ["fresh"]


@pytest.mark.parametrize(
    ("path", "kind", "source"),
    [
        ("hard_noir.safetensors", "style", "Style is selected because most adapters are styles."),
        ("AnnaCharacter_v3.safetensors", "character", "“character”"),
        ("detail-slider.safetensors", "tool", "“slider”"),
        ("portrait-style.safetensors", "style", "“style”"),
        ("summer dress.safetensors", "clothing", "“dress”"),
    ],
)
def test_the_type_is_guessed_from_the_name(
    as_ada: Client, path: str, kind: str, source: str
) -> None:
    page = read(as_ada, lora(), path)
    assert fields_of(page)["kind"] == [kind]
    assert source in page.partition('name="kind"')[2].partition("evrow")[0]


def test_tags_of_the_captions_are_offered_and_taken_if_chosen(as_ada: Client, ada: User) -> None:
    tags = {"10_ink": {"inkwash": 40, "mountain": 20, "river": 10, "(crane:1.2)": 9}}
    said = {
        "ss_tag_frequency": json.dumps(tags),
        "ss_dataset_dirs": '{"10_ink": {"img_count": 40}}',
    }
    data = kohya(SD1, metadata=said)
    page = read(as_ada, data, "ink.safetensors")
    assert re.findall(r'name="tag" value="([^"]*)"', page) == ["mountain", "river"]
    fields = fields_of(page)
    assert "tag" not in fields
    fields |= {"upload": [str(catalogue.accept(ada, data, "ink.safetensors").public_id)]}
    chosen = {"tag": ["river"], "tags": "Night, river"}
    again = as_ada.post("/publish", fields | chosen | {"strength": "99"}).content.decode()
    assert fields_of(again)["tag"] == ["river"]
    as_ada.post("/publish", fields | chosen)
    names = Adapter.objects.get().tags.order_by("name").values_list("name", flat=True)
    assert list(names) == ["night", "river"]


def test_tags_of_the_file_are_chosen_unless_removed(as_ada: Client, ada: User) -> None:
    data = kohya(SD1, metadata={"modelspec.tags": "Ink,  Night  City, ink, <b>, "})
    page = read(as_ada, data, "ink.safetensors")
    assert re.findall(r'name="tag" value="([^"]*)"', page) == ["ink", "night city"]
    fields = fields_of(page)
    assert fields["tag"] == ["ink", "night city"]
    fields |= {"upload": [str(catalogue.accept(ada, data, "ink.safetensors").public_id)]}
    as_ada.post("/publish", fields | {"tag": ["night city"]})
    assert [tag.name for tag in Adapter.objects.get().tags.all()] == ["night city"]


@pytest.mark.parametrize(
    ("stated", "chosen"), [("cc-by-4.0", "CC-BY-4.0"), ("do what you like", ""), ("", "")]
)
def test_a_licence_is_chosen_only_if_the_file_names_it(
    as_ada: Client, stated: str, chosen: str
) -> None:
    data = kohya(SD1, metadata={"modelspec.license": stated} if stated else {})
    page = read(as_ada, data)
    assert fields_of(page)["licence"] == [chosen]
    assert (stated or "The file does not say this.") in page


def test_a_file_that_looks_like_the_next_version_is_offered_as_one(
    as_ada: Client, ada: User, noir: Adapter
) -> None:
    Adapter.objects.update(name="dark-noir", key="dark-noir")
    page = read(as_ada, lora(8), "noir-v2.safetensors")
    assert "This looks like version 2 of Noir" in page
    reasons = "ada/dark-noir has the same name (apart from versions and steps) and base model."
    assert reasons in page
    assert 'data-version-of="ada/dark-noir"' in page
    assert fields_of(page)["name"] == ["noir-2"]
    assert "Looks like" not in read(as_ada, lora(8), "velvet.safetensors")


@pytest.mark.parametrize(
    ("path", "data", "last"),
    [
        ("noir_v2-000010.safetensors", lora(8), "and base model"),
        (
            "Noir.safetensors",
            kohya(SD1, metadata={"a": "b"}),
            "base model and structure (method, rank and layers)",
        ),
    ],
)
def test_a_file_that_is_clearly_the_next_version_gets_its_form(
    as_ada: Client, ada: User, noir: Adapter, path: str, data: bytes, last: str
) -> None:
    upload = catalogue.accept(ada, data, path)
    for page in (
        read(as_ada, data, path),
        as_ada.get("/publish", {"upload": str(upload.public_id)}).content.decode(),
    ):
        assert "This becomes version 2 of <b>Noir</b>" in page
        assert "ada/noir has the same name (apart from versions and steps)" in page
        assert "visibility (Public) do not change" in page
        assert fields_of(page)["to"] == ["ada/noir"]
    own = as_ada.get("/publish", {"upload": str(upload.public_id), "to": ""}).content.decode()
    assert "This looks like version 2 of Noir" in own
    assert f"{last}. If you do not choose this" in own
    assert fields_of(own)["name"][0].casefold() == "noir-2"


def test_the_same_name_alone_makes_no_version(
    as_ada: Client, ada: User, bob: User, published: Callable[..., Adapter]
) -> None:
    published(bob, "noir")
    catalogue.release(published(ada, "velvet", title="Noir"), lora(16), path="noir.safetensors")
    for data in (kohya(SDXL), lora(8)):
        page = read(as_ada, data, "noir-v2.safetensors")
        assert "This becomes version" not in page
        assert fields_of(page)["name"] == ["noir"]


@pytest.mark.parametrize(
    ("path", "metadata", "title", "name"),
    [
        ("inkwash_v1-000010.safetensors", {"ss_output_name": "inkwash_v1"}, "Inkwash", "inkwash"),
        ("Ink final.safetensors", {}, "Ink", "Ink"),
        ("adapter_model.safetensors", {"modelspec.title": "Ink v2"}, "Ink", "Ink"),
        ("pytorch_lora_weights.safetensors", {}, f"{SD1_TITLE} 2", f"{SD1_NAME}-2"),
        (
            "checkpoint-500.safetensors",
            {"ss_output_name": "last"},
            f"{SD1_TITLE} 2",
            f"{SD1_NAME}-2",
        ),
    ],
)
def test_names_that_say_nothing_are_not_proposed(
    as_ada: Client,
    ada: User,
    published: Callable[..., Adapter],
    path: str,
    metadata: dict[str, str],
    title: str,
    name: str,
) -> None:
    published(ada, SD1_NAME)
    page = read(as_ada, kohya(SD1, rank=8, metadata=metadata), path)
    fields = fields_of(page)
    assert (fields["title"], fields["name"]) == ([title], [name])
    assert ("does not say what is in the file" in page) == title.startswith("Stable")


def test_the_offer_leads_to_a_version_and_back(as_ada: Client, ada: User, noir: Adapter) -> None:
    upload = catalogue.accept(ada, lora(8), "noir-v2.safetensors")
    own = f"/publish?upload={upload.public_id}&to="
    page = as_ada.get(own).content.decode()
    (offered,) = re.findall(r'href="([^"]*to=[^"]+)"', page)
    page = as_ada.get(offered.replace("&amp;", "&")).content.decode()
    assert "This becomes version 2 of <b>Noir</b>" in page
    assert f'href="{own.replace("&", "&amp;")}"' in page
    assert "Publish version 2" in page
    assert as_ada.post("/publish", fields_of(page)).headers["Location"] == "/ada/noir"
    assert list(noir.versions.values_list("number", flat=True)) == [2, 1]


def test_words_of_the_version_before_are_kept_if_the_file_lists_none(
    as_ada: Client, ada: User, noir: Adapter
) -> None:
    page = read(as_ada, lora(8), to="ada/noir")
    assert fields_of(page)["trigger"] == ["noir light"]
    assert "as in v1" in page
    upload = catalogue.accept(ada, lora(8))
    unticked = {"to": "ada/noir", "upload": str(upload.public_id), "strength": "99"}
    assert "trigger" not in fields_of(as_ada.post("/publish", unticked).content.decode())
    listed = kohya(SD1, rank=8, metadata={"modelspec.trigger_phrase": "glass"})
    assert fields_of(read(as_ada, listed, to="ada/noir"))["trigger"] == ["glass"]


def test_several_forms_have_ids_of_their_own(as_ada: Client) -> None:
    first, second = (read(as_ada, lora(), sheet=number) for number in ("1", "2"))
    ids = [set(re.findall(r'\bid="([^"]+)"', page)) for page in (first, second)]
    assert not ids[0] & ids[1]
    assert fields_of(second)["sheet"] == ["2"]
    assert 'id="sheet-1"' in read(as_ada, lora(), sheet="<b>")


def test_files_of_one_training_run_say_so(as_ada: Client) -> None:
    def run(name: str, data: bytes) -> str:
        return str(re.findall(r'data-run="([^"]*)"', read(as_ada, data, name))[0])

    assert run("ink-000004.safetensors", lora()) == run("ink.safetensors", lora(8))
    assert run("ink-000004.safetensors", lora()) != run("ink.safetensors", kohya(SDXL))
    assert run("ink.safetensors", lora()) != run("glass.safetensors", lora())


def test_a_script_gets_the_address_or_the_form_again(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    page = read(as_ada, lora(), "noir.safetensors", sheet="3")
    fields = fields_of(page) | {"upload": str(sent(ada).public_id)}
    asked = {"Accept": "application/json"}
    bad = {"tags": "<b>, ink, 50%", "title": "My ink"}
    answer = as_ada.post("/publish", fields | bad, headers=asked)
    again = answer.content.decode()
    assert answer.status_code == 400
    assert again.startswith('<form class="stack g0" id="sheet-3"')
    assert "“&lt;b&gt;”, “50%” are not valid tags." in again
    assert again.count("data-own") == 1
    answer = as_ada.post("/publish", fields, headers=asked)
    assert answer.status_code == 201
    assert answer.json() == {
        "url": "/ada/noir", "title": "Noir", "version": "v1", "name": "ada/noir",
        "edit": "/ada/noir/edit", "pictures": "/ada/noir/gallery",
    }  # fmt: skip


def test_strengths_of_the_version_before_are_kept(
    as_ada: Client, ada: User, published: Callable[..., Adapter]
) -> None:
    adapter = published(ada, "glass")
    catalogue.release(adapter, lora(16), Details(strength=0.6), path="glass.safetensors")
    page = read(as_ada, lora(32), to="ada/glass")
    assert fields_of(page)["strength"] == ["0.6"]


def test_warnings_of_a_stored_file_are_counted(as_ada: Client, bob: User, ada: User) -> None:
    catalogue.release(adapters.create(actor=bob, name="known"), lora())
    upload = catalogue.accept(ada, lora(), "ink.safetensors")
    page = as_ada.get("/publish", {"upload": str(upload.public_id)}).content.decode()
    bar = page.partition("data-bar-text")[2]
    assert "Sent and checked. No licence is stated." in bar
    assert "Nothing is missing" not in bar
    assert '<a href="#f1-findings" data-bar-warnings>1 warning</a>' in bar
    assert 'id="f1-findings"' in page
    assert '<a href="/bob/known?v=v1"' in page


def test_a_base_that_the_file_states_is_not_declared_by_the_user(as_ada: Client, ada: User) -> None:
    data = kohya(DOUBLE, rank=2, metadata={"ss_base_model_version": "flux1"})
    page = read(as_ada, data, "neon.safetensors")
    assert "FLUX.1, stated by the file" in folded(page)
    assert "The header says FLUX.1" in page
    upload = catalogue.accept(ada, data, "neon.safetensors")
    as_ada.post("/publish", fields_of(page) | {"upload": str(upload.public_id)})
    version = Version.objects.get()
    assert (version.declared_family, version.family) == ("", "flux1")
    chroma = catalogue.release(
        adapters.create(actor=ada, name="chroma"), data, Details(declared_family="chroma")
    )
    assert fields_of(read(as_ada, data, to=chroma.adapter.full_name))["family"] == ["chroma"]
