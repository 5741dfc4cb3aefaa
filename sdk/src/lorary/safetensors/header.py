"""Reads and checks the header of a safetensors file.

    ┌────────────┬──────────────────────────────┬───────────────────────────────┐
    │ u64 LE  N  │ N bytes of JSON, space-padded │ data: the bytes of all tensors│
    └────────────┴──────────────────────────────┴───────────────────────────────┘

Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from lorary.safetensors.errors import HeaderError
from lorary.safetensors.fast import read_fast
from lorary.safetensors.limits import DEFAULT_LIMITS, FORMAT_HEADER_BYTES, Limits
from lorary.safetensors.signatures import SNIFF_BYTES, sniff
from lorary.safetensors.source import BytesSource, Source, open_source
from lorary.safetensors.strict import read_careful

if TYPE_CHECKING:
    from lorary.safetensors.tensors import TensorInfo


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header.

    Attributes:
        tensors: Name to tensor, in the header's order.
        metadata: The `__metadata__` map; empty when the file has none.
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
            code="file_truncated",
            message=message,
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
        raise HeaderError(code="file_empty", message="The file is empty.", offset=0)
    length = int.from_bytes(head[:8], "little")
    most = min(limits.header_bytes, FORMAT_HEADER_BYTES)
    if len(head) >= 8 and length <= most and 8 + length <= size:
        if head[8:9] != b"{":
            raise HeaderError(code="header_bad_start", message=_bad_start(head), offset=8)
        return length
    other_format = sniff(head)
    if other_format is not None:
        raise other_format
    code, offset, facts = "file_truncated", size, {"size_bytes": size}
    if len(head) < 8:
        message = f"The file has {len(head)} bytes; the length of the header alone takes eight."
        raise HeaderError(code, message, offset=len(head), facts=facts)
    facts = {"header_bytes": length, "limit": most, "size_bytes": size}
    message = f"The header claims {length:,} bytes, but the file has only {size:,}."
    if length > most:
        code, offset = "header_too_large", 0
        message = f"The header claims {length:,} bytes; {most:,} are allowed."
        if head[8:9] not in {b"{", b""}:
            message = f"This isn't a safetensors file: it doesn't begin with a length. {message}"
    raise HeaderError(code, message, offset, facts)


def _bad_start(head: bytes) -> str:
    if len(head) > 8 and not any(head):
        return "The file begins with zeros, like a failed download. Download it again."
    return "The header does not begin with `{` right after its length."
