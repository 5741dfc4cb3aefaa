"""Family tables and their index."""

from __future__ import annotations

import pytest

from lorary.anatomy import FAMILIES, family_title
from lorary.anatomy.families import (
    Entry,
    block_name,
    encoder_index,
    expand,
    families,
    family_index,
)
from lorary.anatomy.shapes import Dims
from tests.builders.adapters import DENOISERS, TEXT_ENCODERS


def test_templates_expand_choices_and_ranges() -> None:
    assert list(expand("a.{0-2}.{q,k}")) == ["a.0.q", "a.0.k", "a.1.q", "a.1.k", "a.2.q", "a.2.k"]
    assert list(expand("a.{0,3-4}")) == ["a.0", "a.3", "a.4"]
    assert list(expand("plain")) == ["plain"]


def test_titles_are_in_display_order_and_unknown_ids_stand_for_themselves() -> None:
    assert list(FAMILIES)[:3] == ["sd1", "sd2", "sdxl"]
    assert list(FAMILIES)[-1] == "miniature"
    assert len(FAMILIES) == len(families())
    assert family_title("flux1") == "FLUX.1"
    assert family_title("wan_14b") == "wan_14b"
    assert family_title(None) == "Unknown"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_table_is_sound(family: str) -> None:
    table = families()[family]
    assert table.kohya in table.namings
    assert table.claims
    assert all(table.namings.values())
    known = set(TEXT_ENCODERS)
    assert all(known.issuperset(encoders) for encoders in table.text_encoders.values())
    for modules in table.namings.values():
        assert all(len(shape) >= 2 for shape in modules.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_test_vector(family: str) -> None:
    assert any(known == family for known, _ in DENOISERS)


@pytest.mark.parametrize("family", FAMILIES)
def test_flattened_names_are_unique_in_a_naming(family: str) -> None:
    for modules in families()[family].namings.values():
        assert len({path.replace(".", "_") for path in modules}) == len(modules)


def test_an_extended_table_has_its_parent_and_its_own() -> None:
    kolors, sdxl = families()["kolors"], families()["sdxl"]
    own = {"encoder_hid_proj", "add_embedding.linear_1"}
    assert kolors.namings["diffusers"].keys() - own <= sdxl.namings["diffusers"].keys()
    assert kolors.namings["diffusers"]["add_embedding.linear_1"] == (1280, 5632)


def test_depths_count_the_blocks_of_a_stack() -> None:
    assert families()["flux1"].depths["double_blocks"] == 19
    assert families()["flux1"].depths["single_transformer_blocks"] == 38


def test_names_are_found_dotted_flat_and_half_flat() -> None:
    flat = family_index().find("double_blocks_0_img_attn_qkv", is_flat=True)
    assert flat is not None
    assert {"flux1", "chroma", "hunyuan_video"} <= flat.owners
    assert family_index().find("double_blocks_0.img_attn.qkv", is_flat=True) is flat
    assert flat.block == "double_blocks.0"
    assert family_index().find("double_blocks.0.nothing", is_flat=False) is None


def test_encoders_are_found_with_and_without_the_outer_level() -> None:
    long = "text_model.encoder.layers.0.self_attn.q_proj"
    assert encoder_index().find(long, is_flat=False)
    assert encoder_index().find(long.removeprefix("text_model."), is_flat=False)


def test_unknown_sizes_fit_everything_and_strangers_are_not_remembered() -> None:
    entry = Entry("sd1", "diffusers", "a", 640, 768)
    assert entry.fits(Dims(None, None, None))
    assert not entry.fits(Dims(640, 1024, 4))
    place = family_index().find("conv_in", is_flat=False)
    assert place is not None
    for width in range(1_000, 1_100):
        assert not place.fitting(Dims(width, width, 1))
    assert place.fitting(Dims(320, 36, 4)) is place.fitting(Dims(320, 36, 8))
    assert len(place._fitting) < 50


@pytest.mark.parametrize(
    ("path", "block"),
    [("down_blocks.0.a", "down_blocks.0"), ("mid_block.attentions.0", "mid_block"), ("a", "a")],
)
def test_blocks_are_named(path: str, block: str) -> None:
    assert block_name(path) == block
