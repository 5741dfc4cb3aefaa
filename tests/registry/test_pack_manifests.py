"""Manifests of packs: any JSON is either refused by path or has a canonical form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from previews.models.render import MAX_STRENGTH
from previews.render.recipe import MAX_FPS, MAX_FRAMES, MAX_PROMPT_CHARACTERS
from previews.tryouts.requests import MAX_LAYERS
from registry.packs import manifest
from tests.packs import part, variant

PARTS = sorted({*part("ada/noir"), "version", "file", "sha256", "other"})
VARIANTS = sorted({*variant(), *manifest.SETTINGS, "tested_with", "other"})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("{prompt}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def _any(names: list[str]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(names), VALUES, max_size=6) | VALUES


@settings(deadline=None, max_examples=200)
@given(st.lists(_any(VARIANTS), max_size=3) | VALUES, st.lists(_any(PARTS), max_size=3))
def test_any_json_is_refused_by_path_or_canonical(variants: Any, parts: list[Any]) -> None:
    if isinstance(variants, list) and variants and isinstance(variants[0], dict):
        variants[0]["parts"] = parts
    faults = manifest.Faults()
    found = manifest.checked({"variants": variants}, faults)
    json.dumps(faults.found, ensure_ascii=False).encode()
    if not faults.found:
        data = manifest.canonical(found)
        assert manifest.canonical(json.loads(data)) == data


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("steps", 20.0, 20), ("guidance", 7, 7.0), ("guidance", -0.0, 0.0), ("width", 512, 512),
        ("tested_with", {"cfg": -0.0, "base": "x"}, {"cfg": 0.0, "base": "x"}),
        ("tested_with", {}, None), ("negative", None, ""),
    ],
)  # fmt: skip
def test_values_have_one_form(name: str, value: object, kept: object) -> None:
    faults = manifest.Faults()
    more = {"width": 512, "height": 512, name: value}
    document = {"variants": [variant(part("ada/noir"), **more)]}
    (found,) = manifest.checked(document, faults)["variants"]
    assert not faults.found
    assert repr(found.get(name)) == repr(kept)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("steps", True), ("guidance", float("inf")), ("guidance", "7"),
        ("height", None), ("fps", 8), ("tested_with", {"x": 10**15}), ("tested_with", {"x": []}),
        ("tested_with", {"x": float("nan")}), ("prompt", "a\0{prompt}"), ("output", "sound"),
        ("prompt", "x" * 2000 + "{prompt}"), ("parts", []), ("parts", [part("a/b")] * 6),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(name: str, value: object) -> None:
    faults = manifest.Faults()
    more = {"width": 512, "height": 512, name: value}
    manifest.checked({"variants": [{**variant(part("ada/noir")), **more}]}, faults)
    assert [path.partition(".")[2].partition(".")[0] for path in faults.found] == [name]


def test_limits_are_those_of_what_renders_them() -> None:
    assert manifest.MAX_PARTS == MAX_LAYERS
    assert manifest.MAX_STRENGTH == MAX_STRENGTH
    assert manifest.MAX_TEXT == MAX_PROMPT_CHARACTERS
    assert manifest.SETTINGS["frames"][2] == MAX_FRAMES
    assert manifest.SETTINGS["fps"][2] == MAX_FPS
