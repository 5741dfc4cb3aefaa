"""Adapter files with the modules and shapes of real base models, and random numbers."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lorary.algebra.files import NUMPY_DTYPES, PlannedTensor, write_weights
from lorary.anatomy.families import families

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

_NUMBERS = 1 << 22


class Kind(NamedTuple):
    """A kind of file: the family, the naming of its table, and what to resize."""

    title: str
    family: str
    naming: str
    dtype: str
    rank: int
    target: int


SDXL = Kind("SDXL", "sdxl", "sgm", "F16", 32, 8)
FLUX = Kind("FLUX.1", "flux1", "native", "BF16", 64, 16)
WAN = Kind("Wan 14B", "wan_14b", "native", "BF16", 128, 32)


def shapes_of(kind: Kind) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the linear layers that trainers adapt: attention and feed-forward of the blocks."""
    for name, shape in families()[kind.family].namings[kind.naming].items():
        is_in_block = "blocks." in name or "middle_block." in name
        is_left_out = any(word in name for word in ("mod", "norm", "emb"))
        if len(shape) == 2 and is_in_block and not is_left_out:
            yield f"lora_unet_{name.replace('.', '_')}", (shape[0], shape[1])


def write(kind: Kind, path: Path) -> None:
    """Write a file of a kind, with alphas of half the rank."""
    numbers = np.random.default_rng(0).standard_normal(_NUMBERS, dtype=np.float32)
    numbers /= 64
    alpha = np.asarray(kind.rank / 2).astype(NUMPY_DTYPES[kind.dtype])
    plan = {}
    for place, (name, (out, fan_in)) in enumerate(shapes_of(kind)):
        for role, shape in (("down", (kind.rank, fan_in)), ("up", (out, kind.rank))):
            data = partial(_cut, numbers, kind.dtype, shape, 4099 * place + 7 * len(role))
            plan[f"{name}.lora_{role}.weight"] = PlannedTensor(kind.dtype, shape, data)
        plan[f"{name}.alpha"] = PlannedTensor(kind.dtype, (), lambda: alpha)
    write_weights(path, plan, {"ss_network_dim": str(kind.rank)})


def _cut(
    numbers: npt.NDArray[np.float32], dtype: str, shape: tuple[int, int], place: int
) -> npt.NDArray[np.float32]:
    """Return numbers that begin at a place of their own."""
    cut: npt.NDArray[np.float32] = np.take(
        numbers, np.arange(place, place + math.prod(shape)), mode="wrap"
    )
    return cut.astype(NUMPY_DTYPES[dtype]).reshape(shape)
