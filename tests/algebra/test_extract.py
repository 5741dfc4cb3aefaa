"""Extracting adapters from two checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lorary.algebra.errors import AlgebraError
from lorary.algebra.extracting import extract
from lorary.algebra.files import NUMPY_DTYPES, PlannedTensor, WeightFile, write_weights
from lorary.algebra.matrices.dense import approximate
from tests.builders.factors import distance

Arrays = dict[str, np.ndarray[Any, Any]]

UNET = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
CONV = "down_blocks.1.resnets.0.conv1"
SGM = "input_blocks.4.1.transformer_blocks.0.attn1.to_q"
DIT = "transformer_blocks.0.attn.to_q"
WAN = "blocks.0.self_attn.q"


def _write(path: Path, arrays: Arrays, dtype: str = "F32") -> Path:
    def tensor(array: np.ndarray[Any, Any]) -> PlannedTensor:
        stored = array.astype(NUMPY_DTYPES[dtype])
        return PlannedTensor(dtype, stored.shape, lambda: stored)

    write_weights(path, {name: tensor(array) for name, array in arrays.items()}, {})
    return path


def _checkpoints(tmp_path: Path, modules: dict[str, tuple[int, ...]]) -> tuple[Path, Path, Arrays]:
    """A base and a tuned one whose weights differ by matrices of rank 3."""
    random = np.random.default_rng(0)
    base, changes = {}, {}
    for name, shape in modules.items():
        base[f"{name}.weight"] = random.standard_normal(shape)
        out, fan_in = shape[0], int(np.prod(shape[1:]))
        change = random.standard_normal((out, 3)) @ random.standard_normal((3, fan_in))
        changes[f"{name}.weight"] = change.reshape(shape) / 8
    first = _write(tmp_path / "base.safetensors", base)
    tuned = {name: array + changes[name] for name, array in base.items()}
    return first, _write(tmp_path / "tuned.safetensors", tuned), changes


def test_a_change_of_low_rank_is_found(tmp_path: Path) -> None:
    base, tuned, changes = _checkpoints(tmp_path, {UNET: (64, 48), CONV: (32, 8, 3, 3)})
    steps: list[tuple[int, int]] = []
    found = extract(
        base, tuned, tmp_path / "out.safetensors", rank=3, on_step=lambda *step: steps.append(step)
    )
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert found.max_relative_error < 1e-3
    with WeightFile(found.out.path) as file:
        for name, change in changes.items():
            module = f"unet.{name.removesuffix('.weight')}"
            down, up = (file.array(f"{module}.lora_{side}.weight") for side in "AB")
            assert down.shape == (3, *change.shape[1:])
            update = up.reshape(len(up), -1) @ down.reshape(3, -1)
            assert distance(update, change.reshape(len(change), -1)) < 1e-5


def test_the_error_is_that_of_the_missing_directions(tmp_path: Path) -> None:
    base, tuned, changes = _checkpoints(tmp_path, {UNET: (64, 48)})
    found = extract(base, tuned, tmp_path / "out.safetensors", rank=2)
    values = np.linalg.svd(changes[f"{UNET}.weight"], compute_uv=False)
    expected = values[2] / np.linalg.norm(values)
    assert found.modules[0].relative_error == pytest.approx(expected, rel=1e-3)


def test_modules_are_named_as_their_checkpoint_names_them(tmp_path: Path) -> None:
    names = {
        f"model.diffusion_model.{SGM}": f"lora_unet_{SGM.replace('.', '_')}.lora_down.weight",
        f"model.diffusion_model.{WAN}": f"diffusion_model.{WAN}.lora_A.weight",
        DIT: f"transformer.{DIT}.lora_A.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj": (
            "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight"
        ),
    }
    base, tuned, _ = _checkpoints(tmp_path, dict.fromkeys(names, (16, 16)))
    found = extract(base, tuned, tmp_path / "out.safetensors", rank=2, dtype="BF16")
    with WeightFile(found.out.path) as file:
        assert set(names.values()) < set(file.tensors)
        assert {tensor.dtype for tensor in file.tensors.values()} == {"BF16"}


def test_what_did_not_change_is_left_out_silently(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    same = random.standard_normal((16, 16))
    changed = {f"{UNET}.weight": same, f"{CONV}.weight": same, "norm.weight": same[0]}
    base = _write(tmp_path / "base", changed | {"first_stage_model.a.weight": same})
    other = {"norm.weight": same[1], "first_stage_model.a.weight": same * 2}
    tuned = _write(tmp_path / "tuned", changed | other | {f"{UNET}.weight": same * 1.5})
    found = extract(base, tuned, tmp_path / "out", rank=4)
    assert [module.name for module in found.modules] == [f"unet.{UNET}"]
    assert set(found.left_out) == set(other)


def test_checkpoints_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    same = np.ones((16, 16))
    first = _write(tmp_path / "a", {"alone.weight": same})
    for arrays, code in (
        ({"alone.weight": same}, "files_differ"),
        ({"other.weight": same}, "files_differ"),
        ({"alone.weight": same * 2}, "names_unknown"),
    ):
        with pytest.raises(AlgebraError) as caught:
            extract(first, _write(tmp_path / "b", arrays), tmp_path / "out", rank=2)
        assert caught.value.code == code
    nan = _write(tmp_path / "c", {f"{UNET}.weight": same})
    with pytest.raises(AlgebraError, match="to_q"):
        extract(
            nan, _write(tmp_path / "d", {f"{UNET}.weight": same * np.nan}), tmp_path / "out", rank=2
        )
    assert not (tmp_path / "out").exists()


def test_the_approximation_of_a_flat_spectrum_is_nearly_the_best() -> None:
    matrix = np.random.default_rng(0).standard_normal((120, 90)).astype(np.float32)
    values = np.linalg.svd(matrix, compute_uv=False)
    best = float((values[:16] ** 2).sum())
    found = approximate(matrix, 16)
    assert best * 0.97 < found.kept <= best * (1 + 1e-5)
    assert distance(found.factors.dense(), matrix) == pytest.approx(found.relative_error, rel=1e-5)


def test_checkpoints_of_fp8_give_bf16_and_scaled_ones_are_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = [random.standard_normal((16, 16)) for _ in range(2)]
    base, tuned = (
        _write(tmp_path / f"{number}.safetensors", {f"{UNET}.weight": array}, "F8_E4M3")
        for number, array in enumerate(weights)
    )
    out = extract(base, tuned, tmp_path / "out.safetensors", rank=2).out.path
    with WeightFile(out) as file:
        assert {tensor.dtype for tensor in file.tensors.values()} == {"BF16"}
    scaled = {f"{UNET}.weight": weights[1], f"{UNET}.scale_weight": np.ones(1)}
    tuned = _write(tmp_path / "scaled.safetensors", scaled, "F8_E4M3")
    with pytest.raises(AlgebraError, match="scaled weights") as caught:
        extract(base, tuned, tmp_path / "out.safetensors", rank=2)
    assert caught.value.code == "dtype_unsupported"
