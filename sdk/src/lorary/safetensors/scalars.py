"""Reads scalar tensors, such as the alphas of an adapter's modules.

A scalar has a few bytes, and usually two matrices lie between one and the next. So each is read by
itself; only scalars that are close together are read at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from operator import sub
from typing import TYPE_CHECKING

from lorary.safetensors.source import Source, read_each

if TYPE_CHECKING:
    from lorary.safetensors.header import Header
    from lorary.safetensors.tensors import TensorInfo

_CODES = {
    "F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "I16": "h", "I8": "b",
    "U64": "Q", "U32": "I", "U16": "H", "U8": "B", "BOOL": "?",
}  # fmt: skip
_FORMATS = {dtype: struct.Struct(f"<{code}") for dtype, code in _CODES.items()}
_BYTES = {dtype: layout.size for dtype, layout in _FORMATS.items()} | {"BF16": 2}

_NEIGHBOURS_BYTES = 1024
"""Gaps up to this size are read too: a call costs as much as copying a few kilobytes."""

_RUN_BYTES = 64 * 1024


def decode_scalar(dtype: str, raw: bytes) -> float | None:
    """Return the value of a one-element tensor, or None for packed and complex formats."""
    if dtype == "BF16" and len(raw) == 2:
        dtype, raw = "F32", b"\x00\x00" + raw  # BF16 is the upper half of F32
    layout = _FORMATS.get(dtype)
    if layout is None or layout.size != len(raw):
        return None
    return float(layout.unpack(raw)[0])


def read_scalar(source: Source, header: Header, tensor: TensorInfo) -> float | None:
    """Read the value of one scalar tensor; see `read_scalars`."""
    return read_scalars(source, header, [tensor])[0]


def read_scalars(
    source: Source, header: Header, tensors: Sequence[TensorInfo]
) -> list[float | None]:
    """Read the values of scalar tensors.

    Args:
        source: The file that `header` was read from.
        tensors: Tensors of one element each.

    Returns:
        The value of each tensor (which may be NaN or infinity), or None where the tensor has more
        than one element or `source` lacks its bytes.
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
    """Return the bytes of each tensor, empty where it isn't a scalar."""
    spans = sorted(
        (begin, end, index)
        for index, (dtype, _, begin, end) in enumerate(tensors)
        if _BYTES.get(dtype) == end - begin
    )
    pieces = [b""] * len(tensors)
    for run in _runs(spans):
        begin, end = run[0][0], run[-1][1]
        raw = source.read_at(start + begin, end - begin)
        for first, last, index in run:
            pieces[index] = raw[first - begin : last - begin]
    return pieces


def _decode(dtypes: Sequence[str], pieces: Sequence[bytes]) -> list[float | None]:
    # The alphas of a file nearly always have one format, and are decoded together.
    if len(set(dtypes)) == 1 and dtypes[0] in _FORMATS:
        layout, raw = _FORMATS[dtypes[0]], b"".join(pieces)
        if len(raw) == layout.size * len(pieces) and set(map(len, pieces)) == {layout.size}:
            return list(map(float, struct.unpack(f"<{len(pieces)}{layout.format[1:]}", raw)))
    return list(map(decode_scalar, dtypes, pieces))


_Span = tuple[int, int, int]  # first byte, byte after the last one, index of the tensor


def _runs(spans: Sequence[_Span]) -> Iterator[list[_Span]]:
    """Yield lists of spans that are close together."""
    run: list[_Span] = []
    for span in spans:
        is_far = bool(run) and span[0] - run[-1][1] > _NEIGHBOURS_BYTES
        if run and (is_far or span[1] - run[0][0] > _RUN_BYTES):
            yield run
            run = []
        run.append(span)
    if run:
        yield run
