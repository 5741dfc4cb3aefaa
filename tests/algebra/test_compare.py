"""Energies and comparisons, against whole updates."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lorary.algebra.comparing import compare, measure
from lorary.algebra.errors import AlgebraError
from tests.builders.factors import MODULES, SHAPES, some_pairs, updates, write_pairs

BLOCKS = ("down_blocks.1", "text_encoder")


def test_energy_is_the_squared_norm_of_the_updates(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "a.safetensors", some_pairs(alpha=3), dtype="BF16")
    sums = [float((update**2).sum()) for update in updates(path).values()]
    found = measure(path).to_dict()
    expected = {BLOCKS[0]: sums[1] + sums[2], BLOCKS[1]: sums[0]}  # text encoders come first
    assert found["total"] == pytest.approx(sum(sums))
    assert found["blocks"] == [
        {
            "block": block,
            "energy": pytest.approx(expected[block]),
            "share": pytest.approx(expected[block] / sum(sums)),
        }
        for block in BLOCKS
    ]


def test_the_cosine_is_that_of_the_updates(tmp_path: Path) -> None:
    first = write_pairs(
        tmp_path / "a.safetensors", some_pairs(rank=4), metadata={"a": "1", "both": "x"}
    )
    second = write_pairs(
        tmp_path / "b.safetensors",
        some_pairs(MODULES[:2], SHAPES[:2], rank=3, alpha=7, seed=1),
        metadata={"a": "2", "both": "x", "b": "3"},
    )
    mine, theirs = updates(first), updates(second)
    flat = [
        np.concatenate([own.get(name, np.zeros_like(mine[name])).ravel() for name in mine])
        for own in (mine, theirs)
    ]
    found = compare(first, second)
    norms = [float(np.linalg.norm(one)) for one in flat]
    assert found.cosine == pytest.approx(flat[0] @ flat[1] / norms[0] / norms[1])
    assert found.energy == pytest.approx((norms[0] ** 2, norms[1] ** 2))
    blocks = {block.block: block for block in found.blocks}
    assert blocks["text_encoder"].cosine is None
    distance = ((flat[0] - flat[1]) ** 2).sum()
    encoder = (mine[MODULES[2]] ** 2).sum()
    assert blocks["text_encoder"].moved == pytest.approx(encoder / distance)
    assert sum(block.moved for block in found.blocks) == pytest.approx(1)
    document = found.to_dict()
    assert list(document) == ["cosine", "blocks", "energy", "metadata"]
    assert document["metadata"] == {"a": ["1", "2"], "b": [None, "3"]}


def test_a_file_is_equal_to_itself_in_another_form(tmp_path: Path) -> None:
    pairs = some_pairs(alpha=2)
    first = write_pairs(tmp_path / "a.safetensors", pairs)
    scaled = [pair._replace(up=pair.up * 0.25, down=pair.down * 2, alpha=None) for pair in pairs]
    second = write_pairs(tmp_path / "b.safetensors", scaled)
    found = compare(first, second)
    assert found.cosine == pytest.approx(1)
    assert found.energy[0] == pytest.approx(found.energy[1])


def test_files_that_change_nothing_have_no_cosine(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "a", [one._replace(up=one.up * 0) for one in some_pairs()])
    assert measure(path).total == 0
    with pytest.raises(AlgebraError, match="Neither file changes anything"):
        compare(path, path)


def test_products_without_two_factors_are_measured_whole(tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    a1, b1, a2, b2 = (random.standard_normal(size) for size in ((24, 3), (3, 20)) * 2)
    w1, a, b = (random.standard_normal(size) for size in ((4, 8), (6, 2), (2, 4)))
    whole = random.standard_normal((16, 16))
    tensors = {
        f"{MODULES[0]}.hada_w1_a": a1, f"{MODULES[0]}.hada_w1_b": b1,
        f"{MODULES[0]}.hada_w2_a": a2, f"{MODULES[0]}.hada_w2_b": b2,
        f"{MODULES[0]}.alpha": np.asarray(1.5),
        f"{MODULES[1]}.lokr_w1": w1, f"{MODULES[1]}.lokr_w2_a": a, f"{MODULES[1]}.lokr_w2_b": b,
        f"{MODULES[1]}.alpha": np.asarray(1.0), f"{MODULES[2]}.diff": whole,
    }  # fmt: skip
    dense = {
        MODULES[0]: 0.5 * (a1 @ b1) * (a2 @ b2),
        MODULES[1]: 0.5 * np.kron(w1, a @ b),
        MODULES[2]: whole,
    }
    path = write_pairs(tmp_path / "a.safetensors", [], dtype="F64", more=tensors)
    total = sum(float((one**2).sum()) for one in dense.values())
    assert measure(path).total == pytest.approx(total, rel=1e-12)
    other = write_pairs(tmp_path / "b.safetensors", some_pairs(), dtype="F64")
    found = compare(path, other)
    theirs = updates(other)
    inner = sum(float((dense[name] * theirs[name]).sum()) for name in MODULES)
    norm = math.sqrt(total * sum(float((one**2).sum()) for one in theirs.values()))
    assert found.cosine == pytest.approx(inner / norm, rel=1e-9)
    assert compare(path, path).cosine == pytest.approx(1)
