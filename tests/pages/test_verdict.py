"""What pages say of a file's base model: the answer, its proof, and who said something else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from hub.pages.adapters.base_model_panel import layers
from hub.pages.labels import family_choices, family_labels
from lorary.anatomy import FAMILIES
from registry.adapters import services as adapters
from registry.lineages.services import import_table
from registry.models import BlobAnatomy, Version
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, Target, diffusers, kohya
from tests.pages.files import lora

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from django.test import Client

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db

SDXL = DENOISERS["sdxl", "sgm"]
#: FLUX.1 and Chroma have the same feed-forward layers.
FLUX = [Target("double_blocks.0.img_mlp.0", (12288, 3072))]


@pytest.fixture
def page(client: Client, ada: User) -> Callable[..., str]:
    """Publish a file and return its page."""

    def page(data: bytes, *, tab: str = "anatomy", **said: str) -> str:
        adapter = adapters.create(actor=ada, name="noir")
        catalogue.release(adapter, data, Details(**said))  # type: ignore[arg-type]  # texts only
        return client.get(f"/ada/noir?tab={tab}").content.decode()

    return page


def test_a_conflict_is_loud_and_names_key_and_winner(page: Callable[..., str]) -> None:
    text = page(kohya(SDXL, metadata={"ss_base_model_version": "flux1"}))
    assert "Fits Stable Diffusion XL." in text
    assert "The file claims FLUX.1 (ss_base_model_version)" in text
    assert '<s class="struck">FLUX.1</s>' in text


def test_a_checkpoint_that_the_tensors_rule_out_is_struck_out(page: Callable[..., str]) -> None:
    metadata = {"ss_base_model_version": "sd_v1", "ss_sd_model_name": "ponyGhibliStyle"}
    text = page(kohya(DENOISERS["sd1", "diffusers"], metadata=metadata))
    assert '<s class="struck">Pony</s>' in text
    assert "names the checkpoint “ponyGhibliStyle”: Pony. Its tensors rule that out." in text


def test_a_document_of_an_earlier_version_strikes_its_checkpoint_out(
    page: Callable[..., str], client: Client
) -> None:
    page(kohya(DENOISERS["sd1", "diffusers"], metadata={"ss_sd_model_name": "ponyGhibliStyle"}))
    row = BlobAnatomy.objects.get()
    claimed = row.document["base"]["claimed"]
    del claimed["lineages"]
    claimed["lineage_source"], claimed["lineage_value"] = "ss_sd_model_name", "ponyGhibliStyle"
    row.document["base"]["lineage"] = "Pony"
    row.save()
    assert '<s class="struck">Pony</s>' in client.get("/ada/noir?tab=anatomy").content.decode()


def test_a_checkpoint_that_the_tensors_show_is_proven(page: Callable[..., str]) -> None:
    text = page(kohya(DENOISERS["wan_5b", "native"]))
    row = text.partition('<th scope="row">Lineage</th>')[2].partition("</tr>")[0]
    assert row.endswith("<td>Wan 2.2</td>")
    assert "All of its checkpoints are Wan 2.2, or derived from it." in text


def test_what_the_operator_knows_of_a_hash_is_an_estimate_with_its_source(
    page: Callable[..., str], tmp_path: Path
) -> None:
    table = tmp_path / "known.csv"
    table.write_text(f"sha256,lineage,source\n{'1f' * 32},House mix,https://studio.example/x\n")
    import_table(path=table)
    text = page(kohya(SDXL, metadata={"ss_new_sd_model_hash": "1f" * 32}))
    assert "Estimate: The trainer wrote 1f1f1f1f1f, which this hub knows as House mix." in text
    assert "https://studio.example/x" in text
    assert Version.objects.get().lineage == ""


def test_evidence_comes_with_the_tensors_that_show_it(page: Callable[..., str]) -> None:
    text = page(lora())
    reasons = text.partition('<details class="why">')[2].partition("</details>")[0]
    reasons = reasons.replace("<wbr>", "")
    assert "Evidence" in reasons
    document = BlobAnatomy.objects.get().document
    evidence = document["base"]["evidence"]
    assert evidence
    for reason in evidence:
        for key in reason["keys"]:
            assert f"<code>{key}</code>" in reasons


def test_several_candidates_are_all_named(page: Callable[..., str]) -> None:
    text = page(kohya(FLUX))
    candidates = BlobAnatomy.objects.get().document["base"]["candidates"]
    assert {"flux1", "chroma"} <= set(candidates)
    others = family_labels([one for one in candidates if one != "flux1"])
    assert f"Likely FLUX.1; adapters for {others} have the same structure." in text
    assert "cannot distinguish them" in text
    assert "FLUX.1 is the most used of those that fit." in text


@pytest.mark.parametrize("declared", ["", "flux1"])
def test_a_base_that_the_file_states_is_the_files_word(
    page: Callable[..., str], declared: str
) -> None:
    data = kohya(FLUX, metadata={"ss_base_model_version": "flux1"})
    text = page(data, declared_family=declared)
    assert "Made for FLUX.1, stated by the file; adapters for" in text
    assert "according to its author" not in text


def test_a_likely_base_is_no_base_until_somebody_declares_it(
    page: Callable[..., str], client: Client
) -> None:
    page(kohya(FLUX))
    version = client.get("/api/v1/adapters/ada/noir/versions/v1").json()
    assert version["anatomy"]["base"]["likely"] == "flux1"
    assert version["family"] == ""
    assert "/ada/noir" not in client.get("/browse?family=flux1").content.decode()


#: Layers that Stable Diffusion 1.x and 2.x share.
SELF_ATTENTION = [
    Target(f"down_blocks.{number}.attentions.{place}.transformer_blocks.0.attn1.to_q", (wide, wide))
    for number, wide in enumerate((320, 640, 1280))
    for place in (0, 1)
]
#: All modulations of FLUX.1, and an input layer that is wider than that of FLUX.1.
WIDENED = [
    *(Target(f"double_blocks.{number}.img_mod.lin", (18432, 3072)) for number in range(19)),
    Target("img_in", (3072, 384)),
]


@pytest.mark.parametrize(
    ("targets", "metadata", "declared", "origin"),
    [
        (DENOISERS["sd1", "diffusers"], {}, "", "Proven"),
        (SELF_ATTENTION, {"ss_base_model_version": "sd_v1-5"}, "", "Claimed"),
        (SELF_ATTENTION, {"ss_base_model_version": "sd_v1-5"}, "sd1", "Declared"),
        (SELF_ATTENTION, {"ss_base_model_version": "sd_v1-5"}, "sd2", "Declared"),
        (WIDENED, {}, "", "Likely"),
    ],
)
def test_a_card_says_proven_only_if_the_page_does(
    page: Callable[..., str],
    client: Client,
    targets: list[Target],
    metadata: dict[str, str],
    declared: str,
    origin: str,
) -> None:
    text = page(kohya(targets, metadata=metadata), declared_family=declared)
    assert ("Proven: names and shapes" in text) == (origin == "Proven")
    card = client.get("/browse").content.decode().partition('<li class="card')[2]
    mark = card.partition('<span class="ev">')[2].partition("</span>")[0]
    assert mark.rpartition(">")[2].strip() == origin


ATTENTION = [
    Target(f"transformer_blocks.{number}.{stem}.{leaf}", (1152, 1152))
    for number in range(28)
    for stem in ("attn1", "attn2")
    for leaf in ("to_q", "to_k", "to_v", "to_out.0")
]


def test_an_author_who_names_a_seldom_model_is_not_contradicted(page: Callable[..., str]) -> None:
    text = page(diffusers(ATTENTION, component="transformer"), declared_family="sana_600m")
    assert (
        "Made for Sana 600M, according to its author; adapters for PixArt α/Σ have the same "
        "structure." in text
    )
    assert "they count" not in text
    assert (
        "struck" not in text.partition('<section class="panel verdict')[2].partition("</table>")[0]
    )
    assert Version.objects.get().family == "sana_600m"


def test_all_blocks_of_a_smaller_model_are_of_no_base_model_that_is_known(
    page: Callable[..., str],
) -> None:
    blocks = [
        Target(f"{stack}.{number}.attn.{leaf}", (3072, 3072))
        for stack, depth in (("transformer_blocks", 12), ("single_transformer_blocks", 24))
        for number in range(depth)
        for leaf in ("to_q", "to_k", "to_v")
    ]
    text = page(diffusers(blocks, component="transformer"))
    assert "May fit FLUX.1, Chroma, HunyuanVideo or FramePack." in text
    assert "adapters for another model can have the same structure" in text
    assert "FLUX.1 is the nearest of those that fit." in text
    assert "FLUX.1 / Chroma / HunyuanVideo / FramePack possible" in text


def test_who_edits_a_version_is_offered_what_its_tensors_allow(
    page: Callable[..., str], as_ada: Client
) -> None:
    page(kohya(FLUX))
    form = as_ada.get("/ada/noir/versions/v1/edit").content.decode()
    assert '<optgroup label="What its tensors allow">' in form
    assert form.count('value="flux1"') == 1


def test_who_edits_a_version_may_choose_against_the_files_own_word(
    page: Callable[..., str], as_ada: Client
) -> None:
    page(kohya(FLUX, metadata={"ss_base_model_version": "chroma"}))
    form = as_ada.get("/ada/noir/versions/v1/edit").content.decode()
    group = form.partition('<optgroup label="What its tensors allow">')[2].partition("</optgroup>")[
        0
    ]
    assert 'value="flux1"' in group
    assert 'value="chroma"' in group


def test_a_claim_that_no_table_knows_is_said_as_one(page: Callable[..., str]) -> None:
    metadata = {"ss_base_model_version": "wan_2.9_900b"}
    text = page(kohya([Target("mystery_blocks.0.attn.to_q", (48, 48))], metadata=metadata))
    assert "Claimed to fit Wan, without proof." in text
    assert "decides among them" not in text


def test_a_name_that_is_not_known_here_is_not_denied(page: Callable[..., str]) -> None:
    text = page(kohya(SDXL, metadata={"modelspec.architecture": "longcat-video/lora"}))
    assert "The file itself names no known base model." in text


def test_the_proven_column_is_no_surer_than_the_tensors(page: Callable[..., str]) -> None:
    vector = [one for one in DENOISERS["framepack", "diffusers"] if "clean" not in one.path]
    metadata = {"ss_network_module": "networks.lora_framepack"}
    text = page(diffusers(vector, component="transformer", metadata=metadata))
    assert "<td>FramePack possible</td>" in text
    assert "its metadata decides among them" in text


def test_one_that_may_be_another_is_said_so(page: Callable[..., str]) -> None:
    text = page(kohya([Target("transformer_blocks.0.attn.to_q", (2432, 2432))]))
    assert "May fit Stable Diffusion 3.5 large." in text
    assert "adapters for another model can have the same structure" in text


def test_a_checkpoint_of_another_base_model_is_struck(page: Callable[..., str]) -> None:
    text = page(lora_with({"ss_sd_model_name": "ponyDiffusionV6XL.safetensors"}))
    assert '<s class="struck">Pony Diffusion V6 XL</s>' in text


def lora_with(metadata: Mapping[str, str]) -> bytes:
    return kohya(DENOISERS["sd1", "diffusers"], metadata=metadata)


def test_findings_name_keys_and_lead_to_what_to_do(
    page: Callable[..., str], client: Client, ada: User
) -> None:
    client.force_login(ada)
    text = page(lora_with({"home": "/home/ada/loras"}), tab="findings")
    assert "leaks: home (user path)" in text
    assert "count: 1" not in text
    assert 'href="/help/findings#privacy_path"' in text
    assert '<tr id="privacy_path">' in client.get("/help/findings").content.decode()


def test_norms_are_not_compared_with_the_layers_of_a_whole_file() -> None:
    told = {"modules": 330, "expected": 266, "kinds": {"attention": 264, "norm": 66}}
    assert layers(told) == "264 of 266"
    assert layers(told | {"kinds": {"attention": 330}}) == "330"
    assert layers({"modules": 3, "expected": 266, "kinds": {"norm": 3}}) == "3"


def test_private_things_are_told_to_those_who_can_remove_them(
    page: Callable[..., str], client: Client, ada: User
) -> None:
    text = page(lora_with({"home": "/home/ada/loras"}), tab="findings")
    assert "privacy_path" not in text
    answer = client.get("/api/v1/adapters/ada/noir/versions/v1").json()
    assert answer["findings"] == []
    client.force_login(ada)
    answer = client.get("/api/v1/adapters/ada/noir/versions/v1").json()
    assert "privacy_path" in [found["code"] for found in answer["findings"]]


def test_what_the_author_says_against_the_tensors_is_struck(
    page: Callable[..., str], client: Client
) -> None:
    text = page(kohya(SDXL), declared_family="flux1")
    assert "The author declares FLUX.1," in text
    assert '<s class="struck">FLUX.1</s>' in text
    answer = client.get("/api/v1/adapters/ada/noir/versions/v1").json()
    (found,) = answer["findings"]
    assert (answer["family"], found["code"]) == ("sdxl", "declared_conflict")
    assert found["evidence"] == {"declared": "flux1", "allowed": ["sdxl"]}
    assert "declared_conflict" in client.get("/ada/noir?tab=findings").content.decode()


def test_an_author_whom_only_the_files_own_word_contradicts_is_believed(
    page: Callable[..., str],
) -> None:
    """Attention of Sana and SANA-Video is the same, so no tensor speaks against either."""
    attention = [
        Target(f"transformer_blocks.{block}.attn1.{leaf}", (2240, 2240))
        for block in range(20)
        for leaf in ("to_q", "to_k", "to_v", "to_out.0")
    ]
    metadata = {"ss_sd_model_name": "Sana_1600M_1024px.safetensors"}
    data = diffusers(attention, component="transformer", metadata=metadata)
    text = page(data, declared_family="sana_video")
    assert (
        "Made for SANA-Video, according to its author; adapters for Sana have the same structure."
        in text
    )
    assert "The file itself says Sana." in text
    assert "The author says" not in text
    assert "decides among them" not in text
    assert "struck" not in text
    assert Version.objects.get().family == "sana_video"


def test_a_file_of_no_known_base_model_says_so(page: Callable[..., str]) -> None:
    text = page(kohya([Target("mystery_blocks.0.attn.to_q", (48, 48))]))
    assert "No known base model has these layers." in text
    assert "struck" not in text


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"ss_network_dim": "64"}, '<s class="struck">64</s>'),
        ({"ss_network_dim": "4"}, "<td>4"),
    ],
)
def test_a_declared_rank_stands_beside_the_real_one(
    page: Callable[..., str], metadata: Mapping[str, str], said: str
) -> None:
    assert said in page(kohya(SDXL, rank=4, metadata=metadata))


def test_the_anatomy_tells_methods_ranks_kinds_and_training(page: Callable[..., str]) -> None:
    told = {"ss_steps": "1200", "ss_network_module": "networks.lora"}
    text = page(kohya(SDXL, metadata=told))
    panel = text.partition('id="p-anatomy"')[2].partition('role="tabpanel"')[0]
    panel = panel.replace("<wbr>", "")
    for word in ("LoRA", "Ranks", "Kinds of layers", "Steps", "1200", "ss_steps", "f16 (9)"):
        assert word in panel, word


def test_a_document_of_an_older_shape_is_not_shown(client: Client, noir: Adapter) -> None:
    BlobAnatomy.objects.update(document={"verdict": {"proven": "sd1"}})
    text = client.get("/ada/noir").content.decode()
    assert "The header of this file has not been read." in text
    version = client.get("/api/v1/adapters/ada/noir/versions/v1").json()
    assert version["anatomy"] is None


def test_cards_say_how_a_family_is_known(client: Client, ada: User) -> None:
    undecided = kohya(FLUX, metadata={"ss_base_model_version": "flux1"})
    for name, data, said in (
        ("proven", lora(), ""),
        ("declared", kohya(FLUX), "flux1"),
        ("claimed", undecided, ""),
    ):
        adapter = adapters.create(actor=ada, name=name)
        catalogue.release(adapter, data, Details(declared_family=said))
    text = client.get("/browse").content.decode()
    for name in ("proven", "declared", "claimed"):
        card = next(part for part in text.split("<li ") if f'href="/ada/{name}"' in part)
        assert f'class="mk {name}"' in card
    assert set(Version.objects.values_list("family", flat=True)) == {"sd1", "flux1"}


def test_hostile_metadata_is_text_everywhere(page: Callable[..., str], client: Client) -> None:
    attack = "<img src=x onerror=alert(1)>"
    metadata = {
        "ss_sd_model_name": attack, "ss_optimizer": attack, "ss_training_started_at": "9e99",
        "modelspec.architecture": f"flux-1-dev/{attack}", attack: attack,
        "modelspec.trigger_phrase": attack, "ss_tag_frequency": '{"1_x":{"<b>":3}}',
    }  # fmt: skip
    for text in (page(kohya(SDXL, metadata=metadata)), client.get("/browse").content.decode()):
        assert "<img src=x" not in text
        assert "<b>:3" not in text


def test_every_family_can_be_chosen_once_and_in_its_group() -> None:
    groups = dict(family_choices())
    chosen = [family for choices in groups.values() for family, _title in choices]
    assert sorted(chosen) == sorted(FAMILIES)
    assert next(iter(groups)) == "Pictures"
    for choices in groups.values():
        assert [one for one in FAMILIES if one in dict(choices)] == list(dict(choices))


def test_families_are_listed_as_a_phrase() -> None:
    assert family_labels(["flux1"]) == "FLUX.1"
    assert family_labels(["sd1", "flux1", "chroma"]) == "Stable Diffusion 1.x, FLUX.1 or Chroma"


@pytest.mark.parametrize("name", ["anatomy", "anatomy.md", "findings"])
def test_help_is_the_repository_s_own_document(client: Client, name: str) -> None:
    answer = client.get(f"/help/{name}")
    page = answer.content.decode().partition("<main")[2]
    assert answer.status_code == 200
    assert "<h2 id=" in page
    places = re.findall(r'href="#([^"]+)"', page)
    assert all(f'id="{place}"' in page for place in places)
    assert '.md"' not in page


def test_the_verdict_leads_to_its_explanation(client: Client, noir: Adapter) -> None:
    page = client.get("/ada/noir").content.decode()
    address, place = re.findall(r'href="(/help/anatomy)#([^"]+)"', page)[0]
    assert f'id="{place}"' in client.get(address).content.decode()


def test_the_fields_of_a_search_are_explained_in_the_help(client: Client) -> None:
    for path in ("/browse", "/help/sdk", "/help/cli"):
        assert 'href="/help/search"' in client.get(path).content.decode(), path
    page = client.get("/help/search").content.decode()
    assert "<code>kind:style</code>" in page
    assert "<code>trigger:ohwx</code>" in page


@pytest.mark.parametrize("name", ["nothing", "settings", "anatomy.md.md"])
def test_there_is_no_other_help(client: Client, name: str) -> None:
    assert client.get(f"/help/{name}").status_code == 404
