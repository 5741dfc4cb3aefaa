"""Safetensors files of any size, written in constant memory."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np

from tests.builders.weights import file_of, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    #: Bytes of a length, for the tensor with an index.
    Noise: TypeAlias = Callable[[int, int], Iterator[bytes]]

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
    is_unique: bool = False,
) -> int:
    """Write a valid file with random finite values and return its size in bytes.

    Args:
        path: Where to.
        tensors: Name to number format and shape.
        metadata: The `__metadata__` map.
        scalar: Value of every tensor without dimensions, such as the alphas.
        seed: Of the random values; another seed gives another digest.
        is_unique: Whether no stretch of values comes again, as in trained weights: clients that
            send what is alike only once have to send all of it.
    """
    header: dict[str, object] = {} if not metadata else {"__metadata__": dict(metadata)}
    place = 0
    for name, (dtype, shape) in tensors.items():
        end = place + SIZES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, end]}
        place = end
    noise = _fresh(seed) if is_unique else _repeated(seed)
    with path.open("wb") as handle:
        raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False)  # as the library does
        handle.write(file_of(raw.encode()))
        for index, (dtype, shape) in enumerate(tensors.values()):
            if not shape:
                handle.write(number(dtype, scalar))
                continue
            for chunk in noise(SIZES[dtype] * math.prod(shape), index):
                handle.write(chunk)
        return handle.tell()


def _repeated(seed: int) -> Noise:
    """Return noise from a pool, beginning at a place that depends on the tensor's index."""
    pool = _words(np.random.default_rng(seed), POOL_BYTES)

    def noise(size: int, index: int) -> Iterator[bytes]:
        begin = index * STEP_BYTES % POOL_BYTES
        while size > 0:
            chunk = pool[begin : begin + size]
            yield chunk
            size, begin = size - len(chunk), 0

    return noise


def _fresh(seed: int) -> Noise:
    """Return noise that never comes again."""
    source = np.random.default_rng(seed)

    def noise(size: int, _index: int) -> Iterator[bytes]:
        for begin in range(0, size, POOL_BYTES):
            wanted = min(POOL_BYTES, size - begin)
            yield _words(source, wanted + wanted % 2)[:wanted]

    return noise


def _words(source: np.random.Generator, size: int) -> bytes:
    words = source.integers(0, 2**16, size // 2, dtype=np.uint16)
    return (words & FINITE).astype("<u2").tobytes()
