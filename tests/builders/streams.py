"""Safetensors files of any size, written in constant memory."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np

from tests.builders.weights import file_of, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["write_safetensors"]

POOL_BYTES = 1024 * 1024
STEP_BYTES = 8 * 4099  # where the next tensor begins in the pool: no two begin alike soon

#: Clears the highest bit of the exponent of every float of 8 to 64 bits: none is NaN or infinite.
FINITE = 0xBFBF

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "F8_E4M3": 1, "F8_E5M2": 1}


def write_safetensors(
    path: Path,
    tensors: Mapping[str, tuple[str, Sequence[int]]],
    metadata: Mapping[str, str] | None = None,
    *,
    scalar: float = 1.0,
    seed: int = 0,
) -> int:
    """Write a valid file with random finite values and return its size in bytes.

    Args:
        path: Where to.
        tensors: Name to number format and shape.
        metadata: The `__metadata__` map.
        scalar: Value of every tensor without dimensions, such as the alphas.
        seed: Of the random values; another seed gives another digest.
    """
    header: dict[str, object] = {} if not metadata else {"__metadata__": dict(metadata)}
    place = 0
    for name, (dtype, shape) in tensors.items():
        end = place + SIZES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, end]}
        place = end
    pool = _pool(seed)
    with path.open("wb") as handle:
        raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False)  # as the library does
        handle.write(file_of(raw.encode()))
        for index, (dtype, shape) in enumerate(tensors.values()):
            if not shape:
                handle.write(number(dtype, scalar))
                continue
            for chunk in _noise(pool, SIZES[dtype] * math.prod(shape), index):
                handle.write(chunk)
        return handle.tell()


def _noise(pool: bytes, size: int, index: int) -> Iterator[bytes]:
    """Yield `size` bytes of the pool, beginning at a place that depends on `index`."""
    begin = index * STEP_BYTES % POOL_BYTES
    while size > 0:
        chunk = pool[begin : begin + size]
        yield chunk
        size, begin = size - len(chunk), 0


def _pool(seed: int) -> bytes:
    words = np.random.default_rng(seed).integers(0, 2**16, POOL_BYTES // 2, dtype=np.uint16)
    return (words & FINITE).astype("<u2").tobytes()
