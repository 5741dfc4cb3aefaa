"""Names from files, ordered and written for people."""

from __future__ import annotations

import pytest

from lorary.anatomy import inspect_bytes
from lorary.anatomy.display_names import natural, title_of
from tests.builders.adapters import Target, diffusers


def test_numbers_count_as_numbers() -> None:
    names = ["b.10", "b.2", "a.10.1", "a.9.12", "a.9.2", "b", "b.02"]
    assert sorted(names, key=natural) == ["a.9.2", "a.9.12", "a.10.1", "b", "b.2", "b.02", "b.10"]


def test_a_hostile_number_costs_nothing() -> None:
    huge = "b." + "9" * 100_000
    assert sorted([huge, "b.10"], key=natural) == ["b.10", huge]


def test_blocks_are_listed_in_natural_order() -> None:
    targets = [
        Target(f"transformer_blocks.{block}.attn.to_q", (64, 64)) for block in (10, 2, 11, 0, 1)
    ]
    data = diffusers(targets, component="transformer")
    anatomy = inspect_bytes(data, name="n.safetensors", size=len(data)).anatomy
    assert anatomy is not None
    names = [block.name for block in anatomy.blocks]
    assert names == [f"transformer_blocks.{block}" for block in (0, 1, 2, 10, 11)]


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("hard_noir-v2.safetensors", "Hard noir v2"),
        ("a/b/hard_noir-v2.SAFETENSORS", "Hard noir v2"),
        ("Hard Noir_2.safetensors", "Hard Noir_2"),
        ("lineArt..v1.5.safetensors", "LineArt v1 5"),
        ("---.safetensors", ""),
        ("x" * 300, "X" + "x" * 119),
    ],
)
def test_a_file_name_becomes_a_title(path: str, title: str) -> None:
    assert title_of(path) == title
