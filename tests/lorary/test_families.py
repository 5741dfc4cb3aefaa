"""Family tables and their index."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest

from lorary.anatomy import FAMILIES, family_title
from lorary.anatomy.base_models.module_index import Index, rows_of
from lorary.anatomy.families import (
    block_name,
    build_family,
    encoder_index,
    encoders,
    expand,
    families,
    family_index,
)
from tests.builders.models import DENOISERS, SMALLER, TEXT_ENCODERS

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "families.md"

UNTOLD = {
    "cosmos_predict2_2b": {"native"},
    "hunyuan_video": {"diffusers"},
    "wan_14b_i2v": {"native", "diffusers"},
}
"""Namings of a family in which another family has every module of it."""


def test_templates_expand_choices_and_ranges() -> None:
    assert list(expand("a.{0-2}.{q,k}")) == ["a.0.q", "a.1.q", "a.2.q", "a.0.k", "a.1.k", "a.2.k"]
    assert list(expand("a.{0,3-4}")) == ["a.0", "a.3", "a.4"]
    assert list(expand("a_{1,10}.{q,net.2}")) == ["a_1.q", "a_10.q", "a_1.net.2", "a_10.net.2"]
    assert list(expand("w{1,3}")) == ["w1", "w3"]
    assert list(expand("plain")) == ["plain"]


def test_titles_are_in_display_order() -> None:
    assert list(FAMILIES)[:3] == ["sd1", "bk_sdm_base", "bk_sdm_small"]
    assert list(FAMILIES)[-1] == "miniature"
    assert len(FAMILIES) == len(families())
    assert family_title("flux1") == "FLUX.1"
    assert family_title(None) == "Unknown"


@pytest.mark.parametrize(
    ("claimed", "title"),
    [
        ("wan", "Wan"), ("flux", "FLUX"), ("flux2_klein", "FLUX.2 klein"),
        ("sd35", "Stable Diffusion 3.5"), ("stable_cascade", "Stable Cascade"), ("gpt2", "GPT-2"),
        ("llama31_8b", "Llama 3.1 8B"), ("qwen25_7b", "Qwen 2.5 7B"), ("gemma2_9b", "Gemma 2 9B"),
        ("smollm2_1_7b", "SmolLM 2 1.7B"), ("bloom_560m", "Bloom 560M"), ("new_model", "New model"),
    ],
)  # fmt: skip
def test_groups_and_models_without_a_table_have_titles_too(claimed: str, title: str) -> None:
    assert family_title(claimed) == title


@pytest.mark.parametrize("family", FAMILIES)
def test_every_table_is_sound(family: str) -> None:
    table = families()[family]
    assert table.kohya in {*table.namings, "sgm"}
    assert all(table.namings.values())
    assert all(encoders().keys() >= set(names) for names in table.text_encoders.values())
    for naming, rows in table.rows.items():
        names = [name for row in rows for name in row.names()]
        assert len(names) == len(set(names)) == len(table.namings[naming])
        assert len({name.replace(".", "_") for name in names}) == len(names)
        assert all(len(row.shape) >= 2 for row in rows)
        assert table.usual[naming].get(frozenset(), 0) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_left_out_occurs(family: str) -> None:
    table = families()[family]
    found = frozenset[int]().union(*(sets for usual in table.usual.values() for sets in usual))
    assert len(found) == len(table.left_out)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_naming_has_a_test_vector(family: str) -> None:
    told = {naming for known, naming in DENOISERS if known == family}
    if family not in SMALLER:
        assert told | UNTOLD.get(family, set()) >= set(families()[family].namings)


def test_the_guide_explains_every_key_and_its_example_is_a_table() -> None:
    guide = GUIDE.read_text("utf-8")
    block = re.search(r"```json\n(.*?)```", guide, re.DOTALL)
    assert block is not None
    table = build_family(json.loads(block[1]), {})
    assert len(table.namings["native"]) == 3 + 24 * 2 * 6
    assert table.usual["native"][frozenset()] == 24 * 2 * 5
    explained = set(re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE))
    folder = resources.files("lorary.anatomy") / "families"
    for file in folder.iterdir():
        raw = json.loads(file.read_text("utf-8"))
        assert raw.keys() <= explained
        assert file.name == f"{raw['id']}.json"


def test_every_text_encoder_has_a_test_vector() -> None:
    assert set(TEXT_ENCODERS) == set(encoders())


def test_an_extended_table_has_its_parent_and_its_own() -> None:
    kolors, sdxl = families()["kolors"], families()["sdxl"]
    own = {"encoder_hid_proj", "add_embedding.linear_1"}
    assert kolors.namings["diffusers"].keys() - own <= sdxl.namings["diffusers"].keys()
    assert kolors.namings["diffusers"]["add_embedding.linear_1"] == (1280, 5632)


def test_an_extended_table_can_leave_blocks_out() -> None:
    small = families()["ssd_1b"].namings["sgm"]
    stem = "output_blocks.{}.1.transformer_blocks.{}.attn1.to_q"
    blocks = {n: sum(stem.format(n, b) in small for b in range(10)) for n in range(6)}
    assert blocks == {0: 4, 1: 4, 2: 10, 3: 2, 4: 1, 5: 1}
    assert not any(name.startswith("middle_block.1") for name in small)


def test_depths_count_the_blocks_of_a_stack() -> None:
    assert families()["flux1"].depths["double_blocks"] == 19
    assert families()["flux1"].depths["single_transformer_blocks"] == 38


@pytest.mark.parametrize(
    ("family", "naming", "modules"),
    [
        ("sd1", "diffusers", 192), ("sdxl", "sgm", 722), ("flux1", "native", 304),
        ("flux1", "diffusers", 494), ("chroma", "native", 228), ("sd3", "native", 237),
        ("sd35_medium", "native", 263), ("sd35_large", "native", 377), ("lumina2", "native", 180),
        ("anima", "native", 280), ("wan_1_3b", "native", 300), ("wan_14b", "native", 400),
        ("wan_14b_i2v", "native", 480), ("qwen_image", "diffusers", 840),
        ("hunyuan_image_2_1", "native", 320), ("hunyuan_video", "native", 240),
        ("hunyuan_video", "diffusers", 440), ("hunyuan_video_1_5", "native", 756),
        ("z_image", "native", 210), ("flux2_dev", "native", 160), ("flux2_dev", "diffusers", 192),
        ("flux2_klein_9b", "native", 112), ("flux2_klein_4b", "native", 80),
        ("krea2", "native", 264),
    ],
)  # fmt: skip
def test_trainers_adapt_so_many_modules_unless_told_otherwise(
    family: str, naming: str, modules: int
) -> None:
    assert families()[family].usual[naming][frozenset()] == modules


@pytest.mark.parametrize(("encoder", "modules"), [("clip_l", 72), ("clip_h", 138), ("clip_g", 192)])
def test_trainers_adapt_so_many_modules_of_a_text_encoder(encoder: str, modules: int) -> None:
    assert encoders()[encoder].modules == modules


def test_names_are_found_dotted_flat_and_half_flat() -> None:
    flat = family_index().find("double_blocks_0_img_attn_qkv", is_flat=True)
    assert flat is not None
    assert {"flux1", "chroma", "hunyuan_video"} <= set(family_index().names(flat.weights.owners))
    half = family_index().find("double_blocks_0.img_attn.qkv", is_flat=True)
    assert half is not None
    assert half.weights is flat.weights
    assert (flat.path, flat.block) == ("double_blocks.0.img_attn.qkv", "double_blocks.0")


@pytest.mark.parametrize(
    "name",
    ["double_blocks.0.nothing", "double_blocks.19.x", "double_blocks.00.img_attn.qkv", "", "#",
     "double_blocks.99999999999.img_attn.qkv", "double_blocks.٣.img_attn.qkv"],
)  # fmt: skip
def test_names_that_no_model_has_are_not_found(name: str) -> None:
    assert family_index().find(name, is_flat=False) is None
    assert family_index().find(name.replace(".", "_"), is_flat=True) is None


def test_a_name_flattened_from_several_models_keeps_each_model_its_own() -> None:
    index = Index(
        "ab", [*rows_of("a", "x", "b.{0-1}.q_k", (2, 2)), *rows_of("b", "y", "b.{0-3}.q.k", (3, 3))]
    )
    place = index.find("b_1_q_k", is_flat=True)
    assert place is not None
    assert (place.paths_of("a"), place.paths_of("b")) == (["b.1.q_k"], ["b.1.q.k"])
    only = index.find("b_3_q_k", is_flat=True)
    assert only is not None
    assert (only.path, index.names(only.weights.owners)) == ("b.3.q.k", ["b"])


def test_encoders_are_found_with_and_without_the_outer_level() -> None:
    long = "text_model.encoder.layers.0.self_attn.q_proj"
    assert encoder_index().find(long, is_flat=False)
    assert encoder_index().find(long.removeprefix("text_model."), is_flat=False)


def test_unknown_sizes_fit_everything_and_strangers_are_not_remembered() -> None:
    place = family_index().find("conv_in", is_flat=False)
    assert place is not None
    weights = place.weights
    assert weights.fitting(None, None) == weights.owners
    assert not weights.fitting(320, None) & family_index().bits["sdxl_refiner"]
    for width in range(1_000, 1_100):
        assert not weights.fitting(width, width)
    assert len(weights._fitting) < 50


@pytest.mark.parametrize(
    ("path", "block"),
    [("down_blocks.0.a", "down_blocks.0"), ("mid_block.attentions.0", "mid_block"), ("a", "a")],
)
def test_blocks_are_named(path: str, block: str) -> None:
    assert block_name(path) == block
