"""Values of scalar tensors, such as a module's alpha, read one at a time."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorary.safetensors.header import Header
    from lorary.safetensors.source import Source
    from lorary.safetensors.tensors import TensorInfo

__all__ = ["decode_scalar", "read_scalar"]

_FORMATS = {
    dtype: struct.Struct(layout)
    for dtype, layout in (
        ("F64", "<d"),
        ("F32", "<f"),
        ("F16", "<e"),
        ("I64", "<q"),
        ("I32", "<i"),
        ("I16", "<h"),
        ("I8", "<b"),
        ("U64", "<Q"),
        ("U32", "<I"),
        ("U16", "<H"),
        ("U8", "<B"),
        ("BOOL", "<?"),
    )
}


def decode_scalar(dtype: str, raw: bytes) -> float | None:
    """The number in the bytes of a one-element tensor, None for packed and complex formats."""
    if dtype == "BF16" and len(raw) == 2:
        dtype, raw = "F32", b"\x00\x00" + raw  # BF16 is the upper half of F32
    layout = _FORMATS.get(dtype)
    if layout is None or layout.size != len(raw):
        return None
    return float(layout.unpack(raw)[0])


def read_scalar(source: Source, header: Header, tensor: TensorInfo) -> float | None:
    """Read one number out of a file.

    Args:
        source: The file that `header` was read from.
        header: Its header.
        tensor: A tensor of one element.

    Returns:
        The number (NaN and infinity included), or None when the tensor is no single number or its
        bytes are not at hand.
    """
    if math.prod(tensor.shape) != 1:
        return None
    raw = source.read_at(header.data_start + tensor.begin, tensor.size_bytes)
    return decode_scalar(tensor.dtype, raw)
