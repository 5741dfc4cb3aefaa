"""Safetensors bytes made in code: any tensors, any header, finite values."""

from __future__ import annotations

import json
import math
import struct
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
}  # fmt: skip
_PATTERN = tuple(math.sin(step) / 64 for step in range(1, 98))  # small, finite, never constant
_LAYOUTS = {
    "F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "I16": "h", "I8": "b", "U8": "B",
    "U16": "H", "U32": "I", "U64": "Q", "BOOL": "?",
}  # fmt: skip


def number(dtype: str, value: float) -> bytes:
    """The bytes of one number."""
    if dtype == "BF16":
        return struct.pack("<f", value)[2:]
    whole = dtype[0] in "IUB" and dtype != "BF16"
    return struct.pack("<" + _LAYOUTS[dtype], int(value) if whole else value)


@cache
def _unit(dtype: str) -> bytes:
    if dtype in {"F16", "F32", "F64", "BF16"}:
        return b"".join(number(dtype, value) for value in _PATTERN)
    return bytes(range(32, 64))


def _data(dtype: str, shape: Sequence[int]) -> bytes:
    size = math.prod(shape) * _BITS[dtype] // 8
    unit = _unit(dtype)
    return (unit * (size // len(unit) + 1))[:size]


def file_of(header: object, data: bytes = b"", *, align: bool = True) -> bytes:
    """A file with any header: an object becomes JSON, bytes are taken as they are."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    if align:
        raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + data


def safetensors(
    tensors: Mapping[str, tuple[str, Sequence[int]]],
    metadata: Mapping[str, str] | None = None,
    *,
    values: Mapping[str, float] | None = None,
) -> bytes:
    """A valid file.

    Args:
        tensors: Name to number format and shape.
        metadata: The `__metadata__` map.
        values: Scalars with a value of their own, such as alphas.
    """
    header: dict[str, object] = {}
    if metadata is not None:
        header["__metadata__"] = dict(metadata)
    pieces = []
    place = 0
    for name, (dtype, shape) in tensors.items():
        value = (values or {}).get(name)
        piece = _data(dtype, shape) if value is None else number(dtype, value)
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [place, place + len(piece)],
        }
        place += len(piece)
        pieces.append(piece)
    return file_of(header, b"".join(pieces))
