"""Values of scalar tensors, such as the alphas of an adapter's modules.

They are a few bytes each, strewn over the whole data section: between two of them lie two
matrices. So each is a read of its own, but neighbours are read together.
"""

from __future__ import annotations

import struct
from operator import sub
from typing import TYPE_CHECKING

from lorary.safetensors.source import read_each

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lorary.safetensors.header import Header
    from lorary.safetensors.source import Source
    from lorary.safetensors.tensors import TensorInfo

__all__ = ["decode_scalar", "read_scalar", "read_scalars"]

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
_BYTES = {dtype: layout.size for dtype, layout in _FORMATS.items()} | {"BF16": 2}

_NEIGHBOURS_BYTES = 1024
"""A gap that is cheaper to read than to skip: a call costs as much as copying some kilobytes."""

_RUN_BYTES = 64 * 1024


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
    return read_scalars(source, header, [tensor])[0]


def read_scalars(
    source: Source, header: Header, tensors: Sequence[TensorInfo]
) -> list[float | None]:
    """Read many numbers out of a file.

    Args:
        source: The file that `header` was read from.
        header: Its header.
        tensors: Tensors of one element each.

    Returns:
        For each tensor its number (NaN and infinity included), or None when the tensor is no
        single number or its bytes are not at hand.
    """
    if not tensors:
        return []
    dtypes, _, begins, ends = zip(*tensors, strict=True)
    sizes = list(map(sub, ends, begins))
    if all(_BYTES.get(dtype) == size for dtype, size in set(zip(dtypes, sizes, strict=True))):
        gaps = map(sub, begins[1:], ends)
        if min(gaps, default=_NEIGHBOURS_BYTES + 1) > _NEIGHBOURS_BYTES:
            offsets = list(map(header.data_start.__add__, begins))
            return _decode(dtypes, read_each(source, offsets, sizes))
    return _decode(dtypes, _pieces(source, header.data_start, tensors))


def _pieces(source: Source, start: int, tensors: Sequence[TensorInfo]) -> list[bytes]:
    """Bytes of each tensor in any order, neighbours read together; none of what is no number."""
    places = [
        (begin, end, index)
        for index, (dtype, _, begin, end) in enumerate(tensors)
        if _BYTES.get(dtype) == end - begin
    ]
    places.sort()
    pieces = [b""] * len(tensors)
    for begin, end, run in _runs(places):
        raw = source.read_at(start + begin, end - begin)
        for first, last, index in run:
            pieces[index] = raw[first - begin : last - begin]
    return pieces


def _decode(dtypes: Sequence[str], pieces: Sequence[bytes]) -> list[float | None]:
    """Decode all at once when they are of one kind, as a file's alphas nearly always are."""
    if len(set(dtypes)) == 1 and dtypes[0] in _FORMATS:
        layout, raw = _FORMATS[dtypes[0]], b"".join(pieces)
        if len(raw) == layout.size * len(pieces) and set(map(len, pieces)) == {layout.size}:
            return list(map(float, struct.unpack(f"<{len(pieces)}{layout.format[1:]}", raw)))
    return list(map(decode_scalar, dtypes, pieces))


_Place = tuple[int, int, int]


def _runs(places: Sequence[_Place]) -> Iterator[tuple[int, int, list[_Place]]]:
    """Neighbours together: where their bytes begin and end, and they."""
    run: list[_Place] = []
    begin = end = 0
    for place in places:
        if run and (place[0] - end > _NEIGHBOURS_BYTES or place[1] - begin > _RUN_BYTES):
            yield begin, end, run
            run = []
        if not run:
            begin = place[0]
        run.append(place)
        end = place[1]
    if run:
        yield begin, end, run
