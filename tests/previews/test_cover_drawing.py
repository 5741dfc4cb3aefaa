"""Covers: valid, the same twice, and never without something to see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from previews.covers import drawing

NS = "{http://www.w3.org/2000/svg}"


def version(
    blocks: list[tuple[str, int]] | None, digest: str = "0f" * 32, name: str = "a/b"
) -> Any:
    blob = SimpleNamespace()
    if blocks is not None:
        listed = [{"name": n, "modules": 1, "parameters": p} for n, p in blocks]
        document = {"schema": 1, "layers": {"blocks": listed}}
        blob.anatomy = SimpleNamespace(document=document, is_current=True)
    return SimpleNamespace(
        name="v1",
        adapter=SimpleNamespace(full_name=name),
        primary_file=SimpleNamespace(blob=blob, sha256=digest),
    )


BLOCKS = [("te.layers.0", 10), ("down_blocks.1", 400), ("down_blocks.0", 100), ("mid_block", 0)]


def test_a_dots_area_is_its_blocks_share() -> None:
    root = ET.fromstring(drawing.svg(version(BLOCKS)))
    radii = [
        float(dot.get("r", "0")) for dot in root.iter(f"{NS}circle") if dot.get("class") == "d"
    ]
    assert radii[2] == pytest.approx(2 * radii[1], rel=0.01)
    assert [text.text for text in root.iter(f"{NS}text")] == [
        "te.layers",
        "down_blocks",
        "mid_block",
    ]
    assert len([ring for ring in root.iter(f"{NS}circle") if ring.get("class") == "r"]) == 1


def test_a_cover_says_what_it_is_and_styles_by_class_only() -> None:
    text = drawing.svg(version(BLOCKS))
    root = ET.fromstring(text)
    assert root.find(f"{NS}title").text == "a/b v1, drawn from its weights"  # type: ignore[union-attr]
    assert root.get("aria-labelledby") == "title about"
    assert not any("style" in element.attrib for element in root.iter())
    assert not any(word in text for word in ("<script", "href", "onload"))


def test_a_cover_is_the_same_twice_and_another_for_other_bytes() -> None:
    assert drawing.svg(version(BLOCKS)) == drawing.svg(version(BLOCKS))
    assert drawing.svg(version(BLOCKS)) != drawing.svg(version(BLOCKS, digest="1e" * 32))


def test_without_anatomy_the_digest_is_drawn() -> None:
    root = ET.fromstring(drawing.svg(version(None)))
    assert len(list(root.iter(f"{NS}rect"))) == 65


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
    root = ET.fromstring(drawing.svg(version(blocks)))
    for dot in root.iter(f"{NS}circle"):
        x, y, r = (float(dot.get(name, "0")) for name in ("cx", "cy", "r"))
        assert r <= x <= 640 - r
        assert r <= y <= 640 - 44 - 40 - r
