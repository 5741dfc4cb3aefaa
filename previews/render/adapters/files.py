"""The tensors of a safetensors file, read one after the other.

safetensors 0.8 does not give back some bytes of each tensor that it hands to torch: a tenth of a
megabyte for every adapter of a large model, in a worker that reads thousands.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from lorary.safetensors import read_header

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

__all__ = ["read_tensors"]

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and metadata of a file.

    Raises:
        HeaderError: no safetensors file, or not a sound one.
        ValueError: a number format that torch does not have, or a file that was cut meanwhile.
        OSError: it cannot be read.
    """
    tensors: dict[str, Tensor] = {}
    with path.open("rb") as file:
        header = read_header(file)
        for name, info in sorted(header.tensors.items(), key=lambda item: item[1].begin):
            if info.dtype not in _TYPES:
                msg = f"numbers in the format {info.dtype}"
                raise ValueError(msg)
            numbers = bytearray(info.size_bytes)
            file.seek(header.data_start + info.begin)
            if file.readinto(numbers) != info.size_bytes:
                msg = "the file ends too early"
                raise ValueError(msg)
            tensors[name] = _tensor(numbers, _TYPES[info.dtype], info.shape)
    return tensors, dict(header.metadata)


def _tensor(numbers: bytearray, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    if not math.prod(shape):
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(numbers, dtype=dtype).reshape(shape)
