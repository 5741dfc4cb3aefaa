"""Published files: verdicts over the header battery and over real adapters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lorary.anatomy import analyse
from lorary.anatomy.families import families
from lorary.safetensors import HeaderError, read_header
from tests.lorary import reference, scores

if TYPE_CHECKING:
    from pathlib import Path

if not reference.IS_HERE:
    pytest.skip("no reference files (set LORARY_REFERENCE)", allow_module_level=True)

UNIQUE = 0.9
"""Least share of right families among the adapters that can be told apart.

No other table has all modules of these, by name and shape.
"""

LIKELY = 0.95
"""Least share of all adapters whose family, or else the likely one, is the right one."""

UNIQUE_AMONG_ALL = 0.81
"""Least share of all adapters whose family is named.

The rest have modules and shapes that two families share to the last number: attention layers of
SDXL and Kolors, of FLUX.1 and Chroma, of PixArt and Sana 600M, convolutions of SD 1 and SD 2. No
rule could name both rightly.
"""


def _battery() -> list[dict[str, Any]]:
    path = reference.ROOT / "safetensors_battery" / "verdicts.json"
    return json.loads(path.read_text("utf-8"))["cases"] if path.is_file() else []


@pytest.fixture(scope="module")
def measured() -> scores.Scores:
    return scores.measure()


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


def test_every_kind_is_right(measured: scores.Scores) -> None:
    assert measured.kind.misses == []


@pytest.mark.parametrize(
    ("question", "least"),
    [
        ("algorithm", 0.98),
        ("algorithm_by_config", 1.0),
        ("convention", 0.97),
        ("rank_by_config", 1.0),
        ("alpha_by_config", 1.0),
        ("truth_among_adapters", 1.0),
        ("unique_adapters", UNIQUE_AMONG_ALL),
        ("unique_where_told", UNIQUE),
        ("family_or_likely", LIKELY),
    ],
)
def test_answers_are_right(measured: scores.Scores, question: str, least: float) -> None:
    score: scores.Score = getattr(measured, question)
    assert score.share >= least, score.misses


CONFIG_STATES = ["gen_llm_tiny_peft_adalora", "gen_llm_tiny_peft_lokr", "gen_llm_tiny_peft_shira"]
"""Files whose rank stands in `adapter_config.json` alone: AdaLoRA's target, LoKr with whole
matrices, SHiRA."""


def test_ranks_are_exact_but_where_only_the_config_states_them(measured: scores.Scores) -> None:
    assert [miss.partition(":")[0] for miss in measured.rank.misses] == CONFIG_STATES


def test_no_family_is_named_wrongly(measured: scores.Scores) -> None:
    assert measured.wrong_unique == []


@pytest.mark.parametrize("name", reference.names("lora_headers"))
def test_whole_published_adapters_are_not_refused(name: str) -> None:
    truth = reference.load("lora_headers", name)
    if truth["is_adapter"] and truth["origin"] in {"published", "whole_file", "library_generated"}:
        found = analyse(reference.header_of(truth), name=name)
        assert not found.refused, [finding.message for finding in found.findings]


@pytest.mark.parametrize("name", reference.names("module_maps"))
def test_tables_have_every_module_of_the_base_model(name: str) -> None:
    table = reference.load("module_maps", name)
    family = families()[table["family"]]
    modules = {path: tuple(shape) for path, shape in table["modules"].items()}
    assert any(modules.items() <= naming.items() for naming in family.namings.values())
