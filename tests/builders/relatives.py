"""Adapters of many families with random factors, and copies of them in other forms."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from lorary.algebra.conversion.converting import convert
from lorary.algebra.files import NUMPY_DTYPES, PlannedTensor, WeightFile, write_weights
from lorary.algebra.naming.relations import names_of
from lorary.algebra.naming.targets import target_modules
from lorary.algebra.resize import resize_to_rank
from lorary.anatomy.base_models.module_index import block_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

FAMILIES = (
    "sd1", "sd2", "sdxl", "sd3", "sd35_medium", "flux1", "chroma", "flux2_klein_4b",
    "hunyuan_video", "hunyuan_image_2_1", "qwen_image", "z_image", "lumina2", "wan_1_3b", "wan_5b",
    "anima", "cosmos_predict2_2b", "mochi", "ltx_video", "pixart", "auraflow", "cogvideox_2b",
    "sana", "cogview4", "hidream_i1",
)  # fmt: skip
"""Families of the generated files."""

DECAYS = (1.0, 0.97, 0.9, 0.8)
"""Singular values of a file fall by one of these factors; halving the rank keeps 50 to 97 %."""

_SUFFIXES = {"kohya": ("lora_down", "lora_up"), "comfyui": ("lora_A", "lora_B")}
_LARGEST = 4096

Array = np.ndarray[Any, np.dtype[Any]]


def write_original(
    path: Path, family: str, target: str, *, seed: int, rank: int = 8, modules: int = 24
) -> None:
    """Write an adapter in fp32 with random factors.

    Args:
        target: Its naming: `kohya` or `comfyui`.
        seed: Another one gives other values, and another one of `DECAYS`.
        modules: Number of modules, of neighbouring blocks.
    """
    random = np.random.default_rng(seed)
    values = DECAYS[seed % len(DECAYS)] ** np.arange(rank)
    tensors: dict[str, Array] = {}
    for name, (out, fan_in) in _modules(family, target, modules):
        down_suffix, up_suffix = _SUFFIXES[target]
        down = _orthogonal(random, fan_in, rank).T
        up = _orthogonal(random, out, rank) * values
        size = random.uniform(0.3, 1.0)  # layers are not all trained equally
        tensors[f"{name}.{down_suffix}.weight"] = np.ascontiguousarray(down)
        tensors[f"{name}.{up_suffix}.weight"] = np.ascontiguousarray(up * size)
        tensors[f"{name}.alpha"] = np.array(rank / 2)
    write_arrays(path, {name: array.astype(np.float32) for name, array in tensors.items()})


def _orthogonal(random: np.random.Generator, side: int, rank: int) -> Array:
    columns: Array = np.linalg.qr(random.standard_normal((side, rank)))[0]
    return columns


def _modules(family: str, target: str, count: int) -> Iterator[tuple[str, tuple[int, int]]]:
    names = names_of(family)
    blocks: dict[str, list[str]] = {}
    modules = target_modules(names, target)
    prefix = "diffusion_model."
    if not any(map(names.shape, modules)):  # the tables have no sizes for these names
        modules, prefix = target_modules(names, "diffusers"), "transformer."
    for path in modules:
        shape = names.shape(path)
        if shape is not None and len(shape) == 2 and max(shape) <= _LARGEST and min(shape) > 64:
            blocks.setdefault(block_name(path), []).append(path)
    chosen = [path for block in blocks.values() for path in block][:count]
    for path in chosen:
        shape = names.shape(path)
        assert shape is not None
        is_flat = target == "kohya"
        name = f"lora_unet_{path.replace('.', '_')}" if is_flat else f"{prefix}{path}"
        yield name, (shape[0], shape[1])


def write_arrays(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] = {}) -> None:
    """Write tensors; their format is that of the arrays."""
    dtypes = {dtype: name for name, dtype in NUMPY_DTYPES.items()}
    planned = {
        name: PlannedTensor(dtypes[array.dtype], array.shape, partial(np.asarray, array))
        for name, array in arrays.items()
    }
    write_weights(path, planned, metadata)


def rewritten(path: Path, out: Path, change: Callable[[str, Array], Array]) -> Path:
    """Write a file with other values, and return its path."""
    with WeightFile(path) as file:
        arrays = {name: change(name, np.array(file.array(name))) for name in file.tensors}
        write_arrays(out, arrays, file.metadata)
    return out


def copies(path: Path, family: str, target: str, folder: Path) -> dict[str, Path]:
    """Write copies of a file in other forms, and return them by what was done."""
    other = {"kohya": "diffusers", "comfyui": "peft"}[target]
    done = {name: folder / f"{path.stem}-{name}.safetensors" for name in ("renamed", "resized")}
    convert(path, to=other, out=done["renamed"], family=family)
    resize_to_rank(path, done["resized"], rank=4)
    casts = {"fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
    for name, dtype in casts.items():
        out = folder / f"{path.stem}-{name}.safetensors"
        done[name] = rewritten(path, out, partial(_cast, dtype))
    out = folder / f"{path.stem}-strength.safetensors"
    done["strength"] = rewritten(path, out, _weaker)
    return done


def _cast(dtype: np.dtype[Any], _name: str, array: Array) -> Array:
    return array.astype(dtype)


def _weaker(name: str, array: Array) -> Array:
    is_up = "lora_up" in name or "lora_B" in name
    return array * np.float32(0.7) if is_up else array
