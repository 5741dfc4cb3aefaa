"""Adapter files with random factors, and the updates they mean, by plain numpy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lorary.algebra.files import NUMPY_DTYPES, PlannedTensor, WeightFile, write_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

UNET = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0"
MODULES = (
    f"{UNET}_attn1_to_q",
    f"{UNET}_attn2_to_k",
    "lora_te_text_model_encoder_layers_0_self_attn_q_proj",
)
SHAPES = ((24, 20), (24, 32), (16, 16))


class Pair(NamedTuple):
    """Factors of a module; `down` and `up` have the shapes that are stored."""

    name: str
    down: np.ndarray[Any, Any]
    up: np.ndarray[Any, Any]
    alpha: float | None = None
    mid: np.ndarray[Any, Any] | None = None


def some_pairs(
    names: Iterable[str] = MODULES,
    shapes: Iterable[tuple[int, ...]] = SHAPES,
    *,
    rank: int = 4,
    alpha: float | None = 2.0,
    seed: int = 0,
) -> list[Pair]:
    """A pair for each name and shape `(out, in, *kernel)`, with a falling spectrum."""
    random = np.random.default_rng(seed)
    found = []
    for name, (out, *rest) in zip(names, shapes, strict=True):
        falling = np.exp2(-np.arange(rank))
        up = random.standard_normal((out, rank)) * falling
        down = random.standard_normal((rank, math.prod(rest)))
        ones = (1,) * (len(rest) - 1)
        found.append(Pair(name, down.reshape(rank, *rest), up.reshape(out, rank, *ones), alpha))
    return found


def write_pairs(
    path: Path,
    pairs: Iterable[Pair],
    *,
    dtype: str = "F32",
    metadata: Mapping[str, str] | None = None,
    suffixes: tuple[str, str] = (".lora_down.weight", ".lora_up.weight"),
    more: Mapping[str, np.ndarray[Any, Any]] | None = None,
) -> Path:
    """Write an adapter."""
    arrays: dict[str, np.ndarray[Any, Any]] = dict(more or {})
    for pair in pairs:
        arrays[pair.name + suffixes[0]] = pair.down
        arrays[pair.name + suffixes[1]] = pair.up
        if pair.alpha is not None:
            arrays[f"{pair.name}.alpha"] = np.asarray(pair.alpha)
        if pair.mid is not None:
            arrays[f"{pair.name}.lora_mid.weight"] = pair.mid
    plan = {name: _tensor(array, dtype) for name, array in arrays.items()}
    write_weights(path, plan, metadata or {})
    return path


def _tensor(array: np.ndarray[Any, Any], dtype: str) -> PlannedTensor:
    stored = np.asarray(array).astype(NUMPY_DTYPES[dtype])
    return PlannedTensor(dtype, stored.shape, lambda: stored)


def updates(path: Path, default_scale: float | None = None) -> dict[str, np.ndarray[Any, Any]]:
    """Module name to ΔW `(out, fan_in)` of a file, by the definition alone."""
    with WeightFile(path) as file:
        arrays = {
            name: file.array(name).astype(np.float64)
            for name, tensor in file.tensors.items()
            if tensor.dtype != "C64"
        }
    found = {}
    for key, down in arrays.items():
        for a, b in (
            (".lora_down.weight", ".lora_up.weight"),
            (".lora_A.weight", ".lora_B.weight"),
        ):
            if not key.endswith(a):
                continue
            name = key.removesuffix(a)
            up = arrays[name + b]
            up = up.reshape(up.shape[0], -1)
            core = arrays.get(f"{name}.lora_mid.weight")
            if core is not None:
                down = np.einsum("pqxy,qi->pixy", core, down.reshape(down.shape[0], -1))  # noqa: PLW2901
            rank = up.shape[1]
            alpha = float(arrays.get(f"{name}.alpha", np.asarray(float(rank))))
            scale = alpha / rank if default_scale is None else default_scale
            found[name] = scale * up @ down.reshape(down.shape[0], -1)
    return found


def distance(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> float:
    """‖first − second‖ / ‖second‖."""
    return float(np.linalg.norm(first - second) / np.linalg.norm(second))
