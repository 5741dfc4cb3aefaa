"""Sketches of adapters: projections against dense updates, copies and strangers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from lorary.algebra.conversion.converting import convert
from lorary.algebra.files import WeightFile
from lorary.algebra.recognition.canonical import canonical_modules
from lorary.algebra.recognition.projections import DEPTH, LEFT, RIGHT, matrix_of
from lorary.algebra.recognition.relating import Facts, relation
from lorary.algebra.recognition.signs import key_of, signs, signs_of_keys
from lorary.algebra.recognition.sketch import Sketcher, WeightSketches, sketch_file
from lorary.anatomy import inspect_file
from tests.builders.relatives import copies, rewritten, write_arrays, write_original

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Array = np.ndarray[Any, np.dtype[Any]]
Parts = dict[str, Array]

MODULE = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
FUSED = "lora_unet_double_blocks_0_img_attn_qkv"

_random = np.random.default_rng(5)


def _normal(*shape: int) -> Array:
    return _random.standard_normal(shape).astype(np.float32)


def _lora(out: int, fan_in: int) -> tuple[Parts, Array]:
    down, up = _normal(4, fan_in), _normal(out, 4)
    parts: Parts = {
        "lora_down.weight": down,
        "lora_up.weight": up,
        "alpha": np.array(2, dtype=np.float32),
    }
    update: Array = up @ down / 2
    return parts, update


def _convolution() -> tuple[Parts, Array]:
    down, up = _normal(4, 8, 3, 3), _normal(12, 4, 1, 1)
    parts = {"lora_down.weight": down, "lora_up.weight": up}
    return parts, up.reshape(12, 4) @ down.reshape(4, 72)


def _tucker() -> tuple[Parts, Array]:
    down, core, up = _normal(4, 8, 1, 1), _normal(4, 4, 3, 3), _normal(12, 4, 1, 1)
    update = np.einsum("oa,abyx,bi->oiyx", up[:, :, 0, 0], core, down[:, :, 0, 0])
    parts = {"lora_down.weight": down, "lora_mid.weight": core, "lora_up.weight": up}
    return parts, update.reshape(12, 72)


def _hadamard() -> tuple[Parts, Array]:
    one_a, one_b, two_a, two_b = _normal(12, 3), _normal(3, 20), _normal(12, 2), _normal(2, 20)
    names = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    parts: Parts = dict(zip(names, (one_a, one_b, two_a, two_b), strict=True))
    parts["alpha"] = np.array(1.5, dtype=np.float32)
    return parts, (one_a @ one_b) * (two_a @ two_b) / 2


def _kronecker() -> tuple[Parts, Array]:
    one, two_a, two_b = _normal(3, 4), _normal(4, 2), _normal(2, 5)
    parts: Parts = {
        "lokr_w1": one,
        "lokr_w2_a": two_a,
        "lokr_w2_b": two_b,
        "alpha": np.array(1, dtype=np.float32),
    }
    update: Array = np.kron(one, two_a @ two_b) / 2
    return parts, update


def _difference() -> tuple[Parts, Array]:
    update = _normal(12, 20)
    return {"diff": update}, update


@pytest.mark.parametrize(
    ("module", "make"),
    [
        (MODULE, lambda: _lora(320, 320)),
        (FUSED, lambda: _lora(96, 32)),
        (MODULE, _convolution),
        (MODULE, _tucker),
        (MODULE, _hadamard),
        (MODULE, _kronecker),
        (MODULE, _difference),
    ],
    ids=["lora", "fused", "convolution", "tucker", "loha", "lokr", "difference"],
)
def test_projections_are_those_of_the_dense_update(
    tmp_path: Path, module: str, make: Callable[[], tuple[Parts, Array]]
) -> None:
    parts, update = make()
    path = tmp_path / "one.safetensors"
    write_arrays(path, {f"{module}.{part}": np.asarray(value) for part, value in parts.items()})
    sketch = sketch_file(path)
    assert sketch is not None
    found = dict(zip(sketch.keys.tolist(), sketch.numbers * sketch.norm, strict=True))
    with WeightFile(path) as file:
        (known,) = canonical_modules(file.header)
    assert (known.out, known.fan_in) == update.shape
    assert len(known.weights) == (3 if module == FUSED else 1)
    for key, begin, end in known.weights:
        left = signs(key, LEFT, end - begin, DEPTH).astype(np.float64)
        right = signs(key, RIGHT, known.fan_in, DEPTH).astype(np.float64)
        dense = np.einsum("ik,ij,jk->k", left, update[begin:end].astype(np.float64), right)
        assert np.allclose(found[key], dense, rtol=1e-4, atol=1e-4 * np.abs(dense).max())


def _shown(array: Array) -> str:
    return "".join("-" if one < 0 else "+" for one in array.ravel())


def test_every_number_of_half_precision_stays_the_same() -> None:
    halves = np.tile(np.arange(1 << 16, dtype=np.uint16).view(np.float16), 3).reshape(3, -1)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(matrix_of(halves), halves.astype(np.float32))


def test_stored_sketches_stay_comparable() -> None:
    key = key_of("denoiser transformer_blocks_0_attn_to_q 3072x3072")
    assert key == KEY
    assert _shown(signs(key, LEFT, 4, 8)) == SIGNS
    keys = np.array([key], dtype=np.uint64)
    assert _shown(signs_of_keys(keys)[:, :32]) == FOLDED


KEY = 0x89F826E1EF9F70E5
SIGNS = "++-+---++-++-++-+--+++-+--+-++-+"
FOLDED = "+++-+--+-+---++-+----+----++--+-"


def _facts(path: Path) -> Facts:
    anatomy = inspect_file(path).anatomy
    assert anatomy is not None
    return Facts.of(anatomy.to_dict())


def _read(path: Path) -> tuple[WeightSketches, Facts]:
    sketch = sketch_file(path)
    assert sketch is not None
    return sketch, _facts(path)


@pytest.mark.parametrize(("family", "target"), [("flux1", "kohya"), ("sdxl", "comfyui")])
def test_copies_are_named_and_strangers_are_not(tmp_path: Path, family: str, target: str) -> None:
    path, other = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    write_original(path, family, target, seed=3, modules=12)
    write_original(other, family, target, seed=4, modules=12)
    original, facts = _read(path)
    kinds = {}
    for form, copy in copies(path, family, target, tmp_path).items():
        sketch, own = _read(copy)
        found = relation(sketch, original, own, facts)
        assert found is not None
        assert found.inverse.kind == found.kind
        kinds[form] = (found.kind, found.direction, round(found.strength, 2))
    assert kinds.pop("resized")[:2] == ("resized", "from")
    assert kinds == {
        "fp16": ("number_format", "from", 1.0),
        "bf16": ("number_format", "from", 1.0),
        "renamed": ("renamed", "", 1.0),
        "strength": ("strength", "", 0.7),
    }
    low, own = _read(
        rewritten(path, tmp_path / "f8.safetensors", lambda _, a: a.astype(ml_dtypes.float8_e5m2))
    )
    found = relation(low, original, own, facts)
    assert found is not None
    assert (found.kind, found.direction) == ("number_format", "from")
    stranger, own = _read(other)
    assert relation(stranger, original, own, facts) is None


def test_projections_of_a_smaller_model_are_the_rows_that_a_conversion_takes(
    tmp_path: Path,
) -> None:
    fused, split = tmp_path / "fused.safetensors", tmp_path / "split.safetensors"
    module = "diffusion_model.single_blocks.0.linear1"  # q, k, v and twice as many rows
    parts = {"lora_A.weight": _normal(4, 16), "lora_B.weight": _normal(80, 4)}
    write_arrays(fused, {f"{module}.{part}": array for part, array in parts.items()})
    convert(fused, to="diffusers", out=split, family="flux1")
    (one, first), (two, second) = _read(fused), _read(split)
    found = relation(one, two, first, second)
    assert found is not None
    assert (found.kind, len(one.keys)) == ("renamed", 4)


def test_fused_and_split_projections_are_the_same_weights(tmp_path: Path) -> None:
    """Fusing makes blocks, so that each projection keeps its rank."""
    split, fused = tmp_path / "split.safetensors", tmp_path / "fused.safetensors"
    parts = {name: (_normal(2, 32), _normal(32, 2)) for name in ("to_q", "to_k", "to_v")}
    tensors: Parts = {}
    up = np.zeros((96, 6), dtype=np.float32)
    for place, (name, (down, own)) in enumerate(parts.items()):
        module = f"transformer.transformer_blocks.0.attn.{name}"
        tensors |= {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": own}
        up[32 * place : 32 * place + 32, 2 * place : 2 * place + 2] = own
    write_arrays(split, tensors)
    down = np.concatenate([down for down, _ in parts.values()])
    write_arrays(fused, {f"{FUSED}.lora_down.weight": down, f"{FUSED}.lora_up.weight": up})
    (one, first), (two, second) = _read(split), _read(fused)
    assert one.ranks.tolist() == two.ranks.tolist() == [2, 2, 2]
    found = relation(one, two, first, second)
    assert found is not None
    assert found.kind == "renamed"
    assert found.cosine == pytest.approx(1)
    assert found.strength == pytest.approx(1)


def test_checkpoints_of_one_run_and_parts_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    write_original(path, "sd1", "kohya", seed=3, modules=12)
    original, facts = _read(path)
    random = np.random.default_rng(1)

    def trained(name: str, array: Array) -> Array:
        if name.endswith("alpha"):
            return array
        noise = random.standard_normal(array.shape)
        changed: Array = (array + float(np.std(array)) / 3 * noise).astype(np.float32)
        return changed

    later, own = _read(rewritten(path, tmp_path / "later.safetensors", trained))
    found = relation(later, original, own, facts)
    assert found is not None
    assert (found.kind, found.direction) == ("related", "")
    assert 0.8 < found.cosine < 0.99
    run = {"run": "2026-03-01T10:00:00+00:00"}
    same = relation(later, original, own._replace(**run), facts._replace(**run))
    assert same is not None
    assert same.kind == "same_run"
    half = slice(0, 6)
    part = replace(
        original,
        keys=original.keys[half],
        ranks=original.ranks[half],
        numbers=original.numbers[half],
    )
    found = relation(part, original, facts, facts)
    assert found is not None
    assert (found.kind, found.direction) == ("part", "from")


def test_the_same_weights_with_another_header_are_the_same(tmp_path: Path) -> None:
    path, copy = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    write_original(path, "sd1", "kohya", seed=3, modules=4)
    with WeightFile(path) as file:
        write_arrays(copy, {name: file.array(name) for name in file.tensors}, {"title": "Copy"})
    found = relation(*(_read(copy)[0], _read(path)[0]), _facts(copy), _facts(path))
    assert found is not None
    assert (found.kind, found.strength) == ("same_weights", 1)
    assert found.cosine == pytest.approx(1)


def test_the_order_of_tensors_does_not_matter_and_bytes_come_back(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    write_original(path, "sd1", "kohya", seed=3, modules=6)
    expected = sketch_file(path)
    assert expected is not None
    with WeightFile(path) as file:
        sketcher = Sketcher(file.header)
        for name in reversed(list(file.tensors)):
            sketcher.add(name, file.array(name))
    found = sketcher.result()
    assert found is not None
    assert found.to_bytes() == expected.to_bytes()
    again = WeightSketches.from_bytes(found.to_bytes())
    again.require_valid()
    assert again.to_bytes() == found.to_bytes()
    assert float(again.vector() @ expected.vector()) == pytest.approx(1, abs=1e-5)


def test_other_algorithms_zeros_and_broken_shapes_have_no_sketch(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    for tensors in (
        {"weight": _normal(8), "on_input": np.array(1, dtype=np.float32)},
        {"lora_down.weight": _normal(4, 8), "lora_up.weight": np.zeros((8, 4), np.float32)},
        {"lora_down.weight": _normal(4, 8), "lora_up.weight": _normal(8, 5)},
        {"lora_down.weight": _normal(4, 8)},
        {"lora_down.weight": _normal(4, 8) * np.float32("nan"), "lora_up.weight": _normal(8, 4)},
        {"lora_down.weight": _normal(4, 8), "lora_up.weight": _normal(8, 4), "alpha": _normal(2)},
        {"lokr_w1": _normal(3, 3), "lokr_w2": _normal(0, 4)},
        {"hada_w1_a": _normal(8, 2), "hada_w1_b": _normal(2, 8)}
        | {"hada_w2_a": _normal(8, 2), "hada_w2_b": np.array(1, dtype=np.float32)},
    ):
        write_arrays(path, {f"{MODULE}.{name}": array for name, array in tensors.items()})
        assert sketch_file(path) is None


def test_small_tensors_whose_products_are_large_have_no_sketch(tmp_path: Path) -> None:
    path, side = tmp_path / "one.safetensors", 4_000
    for tensors in (
        {"lokr_w1_a": (side, 1), "lokr_w1_b": (1, side), "lokr_w2": (1, 1)},
        {"lokr_w1": (side, 1), "lokr_w2": (1, side)},
        {"hada_w1_a": (1, side), "hada_w1_b": (side, 1)}
        | {"hada_w2_a": (1, side), "hada_w2_b": (side, 1)},
    ):
        parts = {f"{MODULE}.{name}": _normal(*shape) for name, shape in tensors.items()}
        write_arrays(path, parts)
        assert path.stat().st_size < 100_000
        assert sketch_file(path) is None


@pytest.mark.parametrize("cut", [0, 4, 7, -1, 50])
def test_bytes_of_a_wrong_length_are_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "one.safetensors"
    write_original(path, "sd1", "kohya", seed=3, modules=2)
    data = _read(path)[0].to_bytes()
    with pytest.raises(ValueError, match="length"):
        WeightSketches.from_bytes(data[:cut])


def test_sent_sketches_need_finite_numbers_and_sorted_keys(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    write_original(path, "sd1", "kohya", seed=3, modules=2)
    good = _read(path)[0]
    for bad in (
        replace(good, keys=good.keys[::-1]),
        replace(good, numbers=good.numbers * np.float32("inf")),
        replace(good, numbers=good.numbers * 3),
        replace(good, norm=float("nan")),
        replace(good, norm=-1.0),
    ):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match="invalid"):
            bad.require_valid()
