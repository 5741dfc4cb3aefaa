"""Every family in every convention, algorithm and part of the network: never named wrongly.

The tables that the headers are made from are proved against the real models elsewhere; here they
are crossed with each other, so that a family added tomorrow is held to the same promise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from lorary.anatomy import FAMILIES, analyse
from lorary.anatomy.families import families
from tests.builders.crossing import ALGORITHMS, CONVENTIONS, header
from tests.whole import crossed

if TYPE_CHECKING:
    from collections.abc import Mapping

    Modules = Mapping[str, tuple[int, ...]]

ATTENTION = re.compile(r"attn|attention|to_[qkv]|qkv")
THIRD_BLOCK = re.compile(r"(?:.*\.)?2\.")

NAMINGS = [
    (family, naming)
    for family in FAMILIES
    for naming in families()[family].namings
    if naming != "comfyui"  # its names are written by converters, which keep the dots
]


def _modules(family: str, naming: str) -> Modules:
    table = families()[family].namings[naming]
    return {path: shape for path, shape in table.items() if len(shape) in {2, 4}}


def _document(modules: Modules, convention: str, algorithm: str = "lora") -> dict[str, Any]:
    document: dict[str, Any] = analyse(header(modules, convention, algorithm)).to_dict()
    return document


def _check_family(found: dict[str, Any], family: str) -> None:
    base = found["base"]
    assert family in base["candidates"], base
    assert base["family"] in {family, None}, base


@pytest.mark.parametrize(("model", "convention"), crossed(NAMINGS, list(CONVENTIONS)), ids=str)
def test_conventions(model: tuple[str, str], convention: str) -> None:
    family, naming = model
    found = _document(_modules(family, naming), convention)
    _check_family(found, family)
    assert found["kind"] == "adapter"
    assert found["rank"]["mode"] == 16
    if convention != "kohya":
        assert found["convention"] == convention
    else:
        assert found["convention"].startswith("kohya")


@pytest.mark.parametrize(("model", "algorithm"), crossed(NAMINGS, list(ALGORITHMS)), ids=str)
def test_algorithms(model: tuple[str, str], algorithm: str) -> None:
    family, naming = model
    modules = _modules(family, naming)
    found = _document(modules, "kohya", algorithm)
    _check_family(found, family)
    allowed = {"lora", "locon"} if algorithm == "lora" else {algorithm}
    assert found["algorithm"] in allowed
    assert found["layers"]["modules"] == len(modules)


PARTS = [
    (part, convention)
    for part in (ATTENTION, THIRD_BLOCK)
    for convention in ("kohya", "diffusers_peft", "comfyui_diffusion_model")
]


@pytest.mark.parametrize(("model", "part"), crossed(NAMINGS, PARTS), ids=str)
def test_parts_of_the_network(model: tuple[str, str], part: tuple[re.Pattern[str], str]) -> None:
    (family, naming), (pattern, convention) = model, part
    find = pattern.search if pattern is ATTENTION else pattern.match
    modules = {path: shape for path, shape in _modules(family, naming).items() if find(path)}
    if not modules:
        return  # not every network has such a block
    _check_family(_document(modules, convention), family)
