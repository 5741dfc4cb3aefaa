"""Published files: verdicts over the header battery and over real adapters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lorary.anatomy import FAMILIES, Inspection, analyse
from lorary.anatomy.families import families
from lorary.safetensors import HeaderError, read_header
from tests.lorary import reference

if TYPE_CHECKING:
    from pathlib import Path

if not reference.IS_HERE:
    pytest.skip("no reference files (set LORARY_REFERENCE)", allow_module_level=True)

CONVENTIONS = {
    "diffusers_peft": {"diffusers-peft", "diffusers-attn-processor"},
    "kohya_sgm_blocks": {"kohya-sgm"},
    "kohya_diffusers_blocks": {"kohya-diffusers-blocks"},
    "comfyui_diffusion_model": {"comfyui"},
    "simpletuner_lycoris": {"lycoris"},
    "diffusers_attn_processor": {"diffusers-attn-processor"},
    "bare_diffusers_down_up": {"bare"},
    "bare_peft_default": {"bare"},
    "bare_native": {"bare"},
}
LIKE_LORA = {"alora", "rslora", "lora_bias", "lora_embed", "lora_pattern", "lora_trainable_tokens"}
"""Variants of LoRA that nothing in the tensors tells."""
NOT_TOLD = {
    "p_tuning": "prompt_tuning",
    "prefix_tuning": "prompt_tuning",
    "lora+diff_b": "lora",
    "lora+diff": "lora",
    "lora+norm": "lora",
    "lokr+dora": "lokr",
}
NO_SUFFIXES = {"sdxl_kohya_diffusers_blocks_inspector_bases"}
"""Lists of modules, not of tensors."""
INVENTED = {"flux1_bfl_lokr_fixture", "qwen_image_kohya_lokr_fixture"}
"""Fixtures whose shapes no model has."""


def _battery() -> list[dict[str, Any]]:
    path = reference.ROOT / "safetensors_battery" / "verdicts.json"
    return json.loads(path.read_text("utf-8"))["cases"] if path.is_file() else []


def _inspect(name: str) -> tuple[dict[str, Any], Inspection]:
    description = reference.load("lora_headers", name)
    return description, analyse(reference.header_of(description), name=name)


@pytest.mark.parametrize("case", _battery(), ids=lambda case: case["name"])
def test_the_battery_gets_its_strict_verdict(case: dict[str, Any]) -> None:
    path: Path = reference.ROOT / "safetensors_battery" / f"{case['name']}.safetensors"
    try:
        read_header(path)
    except HeaderError:
        verdict = "reject"
    else:
        verdict = "accept"
    assert verdict == case["strict_expect"]


@pytest.mark.parametrize("name", reference.names("lora_headers"))
def test_adapters_are_told_from_other_files(name: str) -> None:
    truth, found = _inspect(name)
    assert found.anatomy is not None
    if name not in NO_SUFFIXES:
        assert (found.anatomy.kind == "adapter") == truth["is_adapter"]
    assert found.anatomy.to_dict()["kind"] == found.anatomy.kind


@pytest.mark.parametrize("name", reference.names("lora_headers"))
def test_families_are_proven_or_left_open_but_never_wrong(name: str) -> None:
    truth, found = _inspect(name)
    assert found.anatomy is not None
    verdict = found.anatomy.verdict
    if not truth["is_adapter"] or name in NO_SUFFIXES | INVENTED:
        return
    family = truth["known_family"]
    if family in FAMILIES:
        assert family in verdict.candidates, verdict
        assert verdict.proven in {family, None}
    elif family != "sdxl_or_sd_unknown":
        assert verdict.proven is None, verdict


@pytest.mark.parametrize("name", reference.names("lora_headers"))
def test_algorithm_convention_and_rank_are_right(name: str) -> None:
    truth, found = _inspect(name)
    anatomy = found.anatomy
    assert anatomy is not None
    if not truth["is_adapter"] or name in NO_SUFFIXES:
        return
    algorithm = truth["known_algorithm"]
    expected = "lora" if algorithm in LIKE_LORA else NOT_TOLD.get(algorithm, algorithm)
    if name == "gen_sdxl_diffusers_full_unet":
        expected = "locon"  # it adapts the convolutions, whatever its trainer calls it
    assert anatomy.algorithm == expected
    allowed = CONVENTIONS.get(truth["known_convention"], {truth["known_convention"]})
    if algorithm not in {"prompt_tuning", "p_tuning", "prefix_tuning"}:
        assert anatomy.convention in allowed
    if anatomy.rank is not None and truth["known_rank"] and algorithm != "adalora":
        assert anatomy.rank == truth["known_rank"]


@pytest.mark.parametrize("name", reference.names("lora_headers"))
def test_whole_published_adapters_are_not_refused(name: str) -> None:
    truth, found = _inspect(name)
    if truth["is_adapter"] and truth["origin"] in {"published", "whole_file", "library_generated"}:
        assert not found.refused, [finding.message for finding in found.findings]


@pytest.mark.parametrize(
    "name", [name for name in reference.names("module_maps") if name.split(".")[0] in FAMILIES]
)
def test_tables_have_every_module_of_the_base_model(name: str) -> None:
    table = reference.load("module_maps", name)
    family = families()[table["family"]]
    modules = {path: tuple(shape) for path, shape in table["modules"].items()}
    assert any(modules.items() <= naming.items() for naming in family.namings.values())


@pytest.mark.parametrize("name", reference.names("lora_metadata"))
def test_real_metadata_is_read_without_surprise(name: str) -> None:
    description = reference.load("lora_metadata", name)
    assert isinstance(description["metadata"], dict)
    description["tensors"] = {}
    found = analyse(reference.header_of(description))
    assert found.anatomy is not None
    json.dumps(found.to_dict())
