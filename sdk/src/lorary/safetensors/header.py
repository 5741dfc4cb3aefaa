"""Reads and checks the header of a safetensors file.

    ┌────────────┬──────────────────────────────┬───────────────────────────────┐
    │ u64 LE  N  │ N bytes of JSON, space-padded │ data: the bytes of all tensors│
    └────────────┴──────────────────────────────┴───────────────────────────────┘

Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import sub
from typing import TYPE_CHECKING, BinaryIO

from lorary.safetensors.errors import HeaderError
from lorary.safetensors.fast import read_fast
from lorary.safetensors.rules import DEFAULT_LIMITS, FORMAT_HEADER_BYTES, Limits
from lorary.safetensors.signatures import SNIFF_BYTES, sniff
from lorary.safetensors.source import BytesSource, Source, open_source, read_each
from lorary.safetensors.strict import read_careful

if TYPE_CHECKING:
    from lorary.safetensors.tensors import TensorInfo


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header.

    Attributes:
        tensors: Name to tensor, in the header's order.
        metadata: The `__metadata__` map; empty if the file has none.
        header_bytes: Length of the JSON with its padding.
        size_bytes: Size of the whole file.
    """

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    header_bytes: int
    size_bytes: int

    @property
    def data_start(self) -> int:
        """Offset of the data section in the file."""
        return 8 + self.header_bytes


def parse_header(data: bytes, *, size: int | None = None, limits: Limits | None = None) -> Header:
    """Return the checked header in the first bytes of a file.

    Args:
        data: The file's first bytes, with the whole header.
        size: Size of the whole file in bytes; by default `len(data)`.
        limits: Limits on the header; the defaults suit adapters.

    Raises:
        HeaderError: The header breaks a rule.
    """
    return _read(BytesSource(data, size), limits or DEFAULT_LIMITS)


def read_header(
    place: str | os.PathLike[str] | BinaryIO | Source, *, limits: Limits | None = None
) -> Header:
    """Return the checked header of a file, without reading the rest of the file.

    Args:
        place: A path, a seekable binary file, or an object with `read_at`.
        limits: Limits on the header; the defaults suit adapters.

    Raises:
        HeaderError: The header breaks a rule.
        OSError: The file can't be read.
    """
    with open_source(place) as source:
        return _read(source, limits or DEFAULT_LIMITS)


def _read(source: Source, limits: Limits) -> Header:
    length = _length(source, limits)
    raw = source.read_at(8, length)
    if len(raw) < length:
        message = f"The header has {length:,} bytes, but only {len(raw):,} of them are available."
        raise HeaderError(
            message,
            code="file_truncated",
            offset=8 + len(raw),
            facts={"header_bytes": length},
        )
    data_bytes = source.size_bytes - 8 - length
    content = read_fast(raw, data_bytes, limits) or read_careful(raw, data_bytes, limits)
    return Header(content.tensors, content.metadata, length, source.size_bytes)


def _length(source: Source, limits: Limits) -> int:
    """Return the length of the JSON, checked against the limits and the file's size."""
    size = source.size_bytes
    head = source.read_at(0, SNIFF_BYTES)
    if not head:
        message = "The file is empty."
        raise HeaderError(message, code="file_empty", offset=0)
    length = int.from_bytes(head[:8], "little")
    most = min(limits.header_bytes, FORMAT_HEADER_BYTES)
    if len(head) >= 8 and length <= most and 8 + length <= size:
        if head[8:9] != b"{":
            raise HeaderError(_bad_start(head), code="header_bad_start", offset=8)
        return length
    other_format = sniff(head)
    if other_format is not None:
        raise other_format
    code, offset, facts = "file_truncated", size, {"size_bytes": size}
    if len(head) < 8:
        message = f"The file has {len(head)} bytes; the length of the header alone takes eight."
        raise HeaderError(message, code=code, offset=len(head), facts=facts)
    facts = {"header_bytes": length, "limit": most, "size_bytes": size}
    message = f"The header claims {length:,} bytes, but the file has only {size:,}."
    if length > most:
        code, offset = "header_too_large", 0
        message = f"The header claims {length:,} bytes; {most:,} are allowed."
        if head[8:9] not in {b"{", b""}:
            message = f"This isn't a safetensors file: it doesn't begin with a length. {message}"
    raise HeaderError(message, code=code, offset=offset, facts=facts)


def _bad_start(head: bytes) -> str:
    if len(head) > 8 and not any(head):
        return "The file begins with zeros, like a failed download. Download it again."
    return "The header does not begin with `{` right after its length."


# Reads scalar tensors, such as the alphas of an adapter's modules.
#
# A scalar has a few bytes, and there are usually two matrices between two scalars. Each is read
# separately; only scalars that are close together are read at once.

_CODES = {
    "F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "I16": "h", "I8": "b",
    "U64": "Q", "U32": "I", "U16": "H", "U8": "B", "BOOL": "?",
}  # fmt: skip
_FORMATS = {dtype: struct.Struct(f"<{code}") for dtype, code in _CODES.items()}
_BYTES = {dtype: layout.size for dtype, layout in _FORMATS.items()} | {"BF16": 2}

_NEIGHBOURS_BYTES = 1024
"""Gaps up to this size are read as well: a call costs as much as copying a few kilobytes."""

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
        The value of each tensor (which may be NaN or infinity), or None if the tensor has more
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
    """Return the bytes of each tensor; empty if it is not a scalar."""
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
