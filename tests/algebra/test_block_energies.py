"""Energies of blocks, measured while a file is read, against double precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from lorary.algebra import block_energies
from lorary.algebra.block_energies import BlockEnergies
from lorary.algebra.comparing import measure
from lorary.algebra.files import WeightFile
from lorary.algebra.recognition.projections import matrix_of
from tests.builders.factors import MODULES, SHAPES, Pair, some_pairs, write_pairs
from tests.builders.relatives import write_arrays, write_original

if TYPE_CHECKING:
    from pathlib import Path


def found(path: Path, *, is_reversed: bool = False) -> dict[str, float] | None:
    """The energies, from tensors that are added in one order or the other."""
    with WeightFile(path) as file:
        energies = BlockEnergies(file.header)
        names = [name for name in file.tensors.names if energies.wants(name)]
        for name in reversed(names) if is_reversed else names:
            energies.add(name, matrix_of(file.array(name)))
        return energies.result()


def measured(path: Path) -> dict[str, float]:
    return {one.block: one.energy for one in measure(path).blocks}


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F8_E4M3"])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_energies_are_those_of_lorary_energy(tmp_path: Path, dtype: str, is_reversed: bool) -> None:
    path = write_pairs(tmp_path / "a.safetensors", some_pairs(alpha=3), dtype=dtype)
    assert found(path, is_reversed=is_reversed) == pytest.approx(measured(path), rel=1e-5)


def test_convolutions_and_tucker_cores_count(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    convolution = some_pairs(MODULES[:1], [(12, 8, 3, 3)])[0]
    core = Pair(
        MODULES[1],
        random.standard_normal((3, 8, 1, 1)),
        random.standard_normal((12, 4, 1, 1)),
        2.0,
        random.standard_normal((4, 3, 3, 3)),
    )
    path = write_pairs(tmp_path / "a.safetensors", [convolution, core])
    assert found(path) == pytest.approx(measured(path), rel=1e-5)


def test_a_real_naming_of_many_blocks_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_original(path, "sdxl", "kohya", seed=1)
    assert found(path) == pytest.approx(measured(path), rel=1e-5)


def test_files_without_an_exact_energy_have_none(tmp_path: Path) -> None:
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    factors = {
        f"{name}.lora_down.weight": np.ones((2, 8), ml_dtypes.bfloat16),
        f"{name}.lora_up.weight": np.ones((8, 2), ml_dtypes.bfloat16),
    }
    dora = {**factors, f"{name}.dora_scale": np.ones((8, 1), np.float32)}
    half = dict(list(factors.items())[:1])
    other = {"x.weight": np.ones((2, 2), np.float32)}
    for number, tensors in enumerate((factors, dora, half, other)):
        path = tmp_path / f"{number}.safetensors"
        write_arrays(path, tensors)
        assert bool(found(path)) is (tensors is factors)


@pytest.mark.parametrize("number", [np.inf, np.nan, 1e30, 0.0])
def test_numbers_without_a_finite_energy_have_none(tmp_path: Path, number: float) -> None:
    pairs = some_pairs(MODULES[:1], SHAPES[:1])
    bad = [pair._replace(up=pair.up * 0 + number) for pair in pairs]
    assert found(write_pairs(tmp_path / "a.safetensors", bad)) is None


def test_work_and_memory_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pairs(tmp_path / "a.safetensors", some_pairs())
    monkeypatch.setattr(block_energies, "MOST_PENDING_BYTES", 0)
    assert found(path) is None
    monkeypatch.undo()
    monkeypatch.setattr(block_energies, "MOST_BLOCKS", 1)
    assert found(path) is None
    monkeypatch.undo()
    wide = some_pairs(MODULES[:1], [(600, 600)], rank=block_energies.MOST_RANK + 1)
    assert found(write_pairs(tmp_path / "b.safetensors", wide)) is None


def _products(rank: int = 3) -> dict[str, np.ndarray[Any, Any]]:
    """LoHa in one module, LoKr with a cut and with whole matrices in others."""
    random = np.random.default_rng(5)
    shapes = {
        f"{MODULES[0]}.hada_w1_a": (300, rank), f"{MODULES[0]}.hada_w1_b": (rank, 20),
        f"{MODULES[0]}.hada_w2_a": (300, rank), f"{MODULES[0]}.hada_w2_b": (rank, 20),
        f"{MODULES[1]}.lokr_w1": (4, 8), f"{MODULES[1]}.lokr_w2_a": (6, 2),
        f"{MODULES[1]}.lokr_w2_b": (2, 4), f"{MODULES[2]}.lokr_w1": (4, 4),
        f"{MODULES[2]}.lokr_w2": (4, 4),
    }  # fmt: skip
    tensors = {name: random.standard_normal(shape) for name, shape in shapes.items()}
    numbers = {f"{name}.alpha": np.asarray(1.5) for name in MODULES}
    return tensors | numbers | {f"{MODULES[1]}.scalar": np.asarray(0.5)}


@pytest.mark.parametrize("is_reversed", [False, True])
def test_loha_and_lokr_have_an_energy(tmp_path: Path, is_reversed: bool) -> None:
    path = write_pairs(tmp_path / "a.safetensors", [], more=_products())
    energies = found(path, is_reversed=is_reversed)
    assert energies == pytest.approx(measured(path), rel=1e-5)


def test_forming_loha_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pairs(tmp_path / "a.safetensors", [], more=_products())
    monkeypatch.setattr(block_energies, "MOST_FORMED", 300 * 20 * 6 - 1)
    assert found(path) is None
    monkeypatch.setattr(block_energies, "MOST_FORMED", 300 * 20 * 6)
    assert found(path) is not None


def test_products_that_do_not_fit_have_no_energy(tmp_path: Path) -> None:
    good = _products()
    broken: tuple[dict[str, np.ndarray[Any, Any]], ...] = (
        {f"{MODULES[0]}.hada_w1_b": np.ones((4, 20))},
        {f"{MODULES[0]}.hada_w1_b": np.ones((3, 21))},
        {f"{MODULES[1]}.lokr_w2_b": np.ones((3, 4))},
        {f"{MODULES[0]}.dora_scale": np.ones((300, 1))},
        {f"{MODULES[1]}.lokr_t2": np.ones((2, 2, 3, 3))},
        {f"{MODULES[0]}.alpha": np.ones(2)},
    )
    for number, one in enumerate(broken):
        path = write_pairs(tmp_path / f"{number}.safetensors", [], more=good | one)
        assert found(path) is None, one
