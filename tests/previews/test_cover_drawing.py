"""Covers: valid, the same twice, and never without something to see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from previews.covers import drawing

NS = "{http://www.w3.org/2000/svg}"


def version(
    blocks: list[tuple[str, int]] | None,
    digest: str = "0f" * 32,
    name: str = "a/b",
    energies: dict[str, float] | None = None,
) -> Any:
    blob = SimpleNamespace()
    if blocks is not None:
        listed = [{"name": n, "modules": 1, "parameters": p} for n, p in blocks]
        document = {"schema": 1, "layers": {"blocks": listed}}
        blob.anatomy = SimpleNamespace(document=document, is_current=True, energies=energies)
    return SimpleNamespace(
        name="v1",
        adapter=SimpleNamespace(full_name=name),
        primary_file=SimpleNamespace(blob=blob, sha256=digest),
    )


BLOCKS = [("te.layers.0", 10), ("down_blocks.1", 400), ("down_blocks.0", 100), ("mid_block", 0)]


def bars_of(text: str) -> list[ET.Element]:
    return [bar for bar in ET.fromstring(text).iter(f"{NS}rect") if bar.get("class") != "g"]


def test_a_bars_height_is_its_blocks_share() -> None:
    bars = bars_of(drawing.svg(version(BLOCKS)))
    heights = [float(bar.get("height", "0")) for bar in bars]
    assert heights[2] == pytest.approx(4 * heights[1], rel=0.01)
    assert [bar.get("class") for bar in bars] == ["b", "b", "s", "b"]
    assert texts_of(version([(f"down_blocks.{n}", 1) for n in range(4)])) == [
        "Parameters by block",
        "Drawn from the weights",
        "down_blocks",
    ]


def test_energies_replace_parameters_where_they_are_known() -> None:
    energies = {"down_blocks.0": 5.0, "mid_block": 10.0}
    known = version(BLOCKS, energies=energies)
    heights = [float(bar.get("height", "0")) for bar in bars_of(drawing.svg(known))]
    assert heights[3] == pytest.approx(2 * heights[1], rel=0.01)
    assert heights[0] == heights[2] == 2  # blocks without energy are still there
    assert texts_of(known)[0] == "Energy by block"
    assert "share of the energy" in drawing.svg(known)
    assert texts_of(version(BLOCKS, energies={}))[0] == "Parameters by block"


def texts_of(of: Any) -> list[str | None]:
    return [text.text for text in ET.fromstring(drawing.svg(of)).iter(f"{NS}text")]


def test_a_cover_says_what_it_is_and_styles_by_class_only() -> None:
    text = drawing.svg(version(BLOCKS))
    root = ET.fromstring(text)
    assert root.find(f"{NS}title").text == "a/b v1, drawn from its weights"  # type: ignore[union-attr]
    assert root.get("aria-labelledby") == "title about"
    assert not any("style" in element.attrib for element in root.iter())
    assert not any(word in text for word in ("<script", "href", "onload"))


def test_a_cover_is_the_same_twice_and_another_for_other_blocks() -> None:
    assert drawing.svg(version(BLOCKS)) == drawing.svg(version(BLOCKS))
    assert drawing.svg(version(BLOCKS)) != drawing.svg(version(BLOCKS[:3]))


def test_without_anatomy_it_says_so() -> None:
    assert not bars_of(drawing.svg(version(None)))
    assert texts_of(version(None))[0] == "No diagram of the blocks"


def test_hostile_names_stay_text() -> None:
    nasty = version([('"><script>.0', 3)], name="a/<b>&")
    root = ET.fromstring(drawing.svg(nasty))
    assert root.find(f"{NS}title").text.startswith("a/<b>&")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "blocks",
    [
        [(f"double_blocks.{n}", n) for n in range(19)]
        + [(f"single_blocks.{n}", n) for n in range(38)],
        [(f"stack{n}.0", 1) for n in range(20)],
        [(f"stack{n}.{m}", 1) for n in range(300) for m in range(9)],
        [(f"layers.{n}", 5) for n in range(9000)],
        [("only", 1)],
    ],
    ids=["flux", "many stacks", "very many stacks", "many blocks", "one"],
)
def test_everything_stays_on_the_sheet(blocks: list[tuple[str, int]]) -> None:
    bars = bars_of(drawing.svg(version(blocks)))
    assert 0 < len(bars) <= 2 * drawing.MAX_BARS
    for bar in bars:
        x, y, w, h = (float(bar.get(name, "0")) for name in ("x", "y", "width", "height"))
        assert drawing.MARGIN <= x <= x + w <= drawing.WIDTH - drawing.MARGIN
        assert drawing.TOP - 0.01 <= y <= y + h <= drawing.BOTTOM + 0.01
        assert w > 0.9
