"""The table of checkpoints, and an owner's file laid over it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lorary.anatomy import FAMILIES
from lorary.anatomy.claims.lineages import LineageError, lineages, load_lineages

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "ab" * 32


def _file(folder: Path, content: object) -> Path:
    path = folder / "own.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_the_shipped_table_knows_what_is_verified() -> None:
    table = load_lineages()
    assert table.by_name("290640.safetensors") == ("Pony Diffusion V6 XL",)
    assert table.by_name("models/2110043.safetensors") == ("Qwen-Image",)
    assert table.by_hash("67AB2FD8EC") == "Pony Diffusion V6 XL"
    assert table.by_hash(OTHER) is None
    assert table.family_of("Pony Diffusion V6 XL") == "sdxl"
    assert table.family_of(None) is None


def test_every_lineage_with_a_family_is_told_by_something() -> None:
    table = load_lineages()
    told = {*table.sha256.values(), *table.civitai.values(), *(name for _, name in table.names)}
    assert set(table.families) <= told


@pytest.mark.parametrize(
    ("name", "lineage"),
    [
        ("ponyDiffusionV6XL_v6StartWithThisOne", "Pony Diffusion V6 XL"),
        ("autismmixSDXL_autismmixPony", "Pony"), ("ponyRealism_v21", "Pony"),
        ("ponyxl_v2", "Pony"), ("PONYXL", "Pony"), ("my-pony", "Pony"), ("İponyMix", "Pony"),
        ("waiNSFWIllustrious_v80", "Illustrious"), ("illustriousxl.ckpt", "Illustrious"),
        ("noobaiXLNAIXL_vPred10Version", "NoobAI"), ("animaginexl", "Animagine"),
        ("MS_Flux_1d_V3", "FLUX.1 dev"), ("flux1dev-fp8", "FLUX.1 dev"),
        ("flux1-dev2pro", "FLUX.1 dev"), ("wan2.2_t2v_high_noise_14B_fp16", "Wan 2.2"),
        ("wan22I2VA14B", "Wan 2.2"), ("sd_xl_base_1.0_0.9vae", "SDXL 1.0"),
        ("qwen-image-edit-2509", "Qwen-Image-Edit"), ("ltx-2.3-dev", "LTX-2.3"),
        ("piano_pony", "Pony"), ("flux1-dev-kontext_fp8_scaled", "FLUX.1 Kontext"),
    ],
)  # fmt: skip
def test_a_word_of_a_name_tells_the_lineage(name: str, lineage: str) -> None:
    assert load_lineages().by_name(name) == (lineage,)


@pytest.mark.parametrize(
    "name",
    ["ponytail_v2", "ebony", "subpony", "monochroma-x", "swan22", "wan220", "wand2.2"],
)
def test_a_part_of_another_word_is_no_lineage(name: str) -> None:
    assert load_lineages().by_name(name) == ()


@pytest.mark.parametrize(
    "name", ["notPony", "NotPony_v3", "no_pony", "not pony", "nonPony-v2", "style_without_pony"]
)
def test_a_negated_word_is_no_lineage(name: str) -> None:
    assert load_lineages().by_name(name) == ()


def test_the_name_of_a_mix_tells_all_of_its_lineages() -> None:
    table = load_lineages()
    assert table.by_name("illustriousPonyMix") == ("Illustrious", "Pony")
    assert table.by_name("pony_x_noobai_x_pony") == ("Pony", "NoobAI")
    assert table.by_name("pony_ponyDiffusionV6XL") == ("Pony Diffusion V6 XL",)  # which says more


def test_every_family_of_a_lineage_is_known() -> None:
    known = {*FAMILIES, "wan21", "wan22"}
    assert set(load_lineages().families.values()) <= known


def test_an_owners_file_is_laid_over_the_table(tmp_path: Path) -> None:
    own = {
        "sha256": {OTHER.upper(): "House style", "0x0123456789": "By its short hash"},
        "autov1": {"12345678": "Old"},
        "civitai": {"290640": "Renamed"},
        "names": [["pony", "My pony"]],
        "families": {"House style": "sdxl"},
    }
    table = load_lineages(_file(tmp_path, own))
    assert table.by_hash(OTHER) == "House style"
    assert table.by_hash(OTHER[:10]) == "House style"
    assert table.by_hash("0123456789") == "By its short hash"
    assert table.by_hash("12345678") == "Old"
    assert table.by_name("290640.ckpt") == ("Renamed",)
    assert table.by_name("ponyGhibliStyle") == ("My pony",)
    assert table.by_name("sd_xl_base_1.0.safetensors") == ("SDXL 1.0",)
    assert table.family_of("House style") == "sdxl"


@pytest.mark.parametrize(
    "content",
    [
        "", "{}", "not json", "[1]", '{"sha": {}}', '{"sha256": []}', '{"sha256": {"x": "y"}}',
        '{"names": {}}', '{"names": [["a"]]}', '{"names": [["a", 3]]}', '{"civitai": {"1": ""}}',
        "[" * 100_000, '{"autov1": {"12345678": null}}',
    ],
)  # fmt: skip
def test_a_broken_file_is_told_and_never_crashes(tmp_path: Path, content: str) -> None:
    path = _file(tmp_path, content)
    if content in {"", "{}"}:
        assert load_lineages(path) == load_lineages()
        return
    with pytest.raises(LineageError, match=r"own\.json"):
        load_lineages(path)


def test_a_file_that_is_too_large_is_told(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    with path.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    with pytest.raises(LineageError, match="larger than"):
        load_lineages(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="cannot be read"):
        load_lineages(tmp_path / "none.json")


def test_the_variable_names_the_file_and_a_broken_one_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineages.cache_clear()
    monkeypatch.setenv("LORARY_LINEAGES", str(_file(tmp_path, {"autov1": {"12345678": "Old"}})))
    try:
        assert lineages().by_hash("12345678") == "Old"
        lineages.cache_clear()
        monkeypatch.setenv("LORARY_LINEAGES", str(tmp_path / "none.json"))
        assert lineages().by_name("290640") == ("Pony Diffusion V6 XL",)
        with pytest.raises(LineageError):
            load_lineages()
    finally:
        lineages.cache_clear()
