"""What has to hold for any bytes at all."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

from lorary.anatomy import analyse
from lorary.anatomy.findings.finding import finding_codes
from lorary.safetensors import (
    DEFAULT_LIMITS,
    BytesSource,
    HeaderError,
    parse_header,
    read_scalars,
)
from lorary.safetensors.errors import HEADER_CODES
from lorary.safetensors.strict import read_careful

if TYPE_CHECKING:
    from lorary.safetensors import Header

#: Peak memory that reading a header may take: so many times its size, and so much more.
MEMORY_TIMES, MEMORY_BYTES = 20, 32_000_000

#: Files up to this size are shown to the official reader, which wants all of their bytes.
_OFFICIAL_BYTES = 64 * 1024

_CODES = finding_codes()


def check(data: bytes, size: int | None = None, config: bytes | None = None) -> str:
    """Read a file's beginning and work out its anatomy.

    Args:
        data: The beginning.
        size: Of the whole file; the one that its tensors ask for when left out.
        config: The `adapter_config.json` beside it.

    Returns:
        `accepted`, or the code that the header was refused with.

    Raises:
        Exception: Whatever may not happen.
    """
    size = declared_size(data) if size is None else size
    try:
        header = parse_header(data, size=size)
    except HeaderError as refused:
        _check_refusal(refused, size)
        return refused.code
    _check_anatomy(header, data, config)
    return "accepted"


def _check_refusal(refused: HeaderError, size: int) -> None:
    assert refused.code in HEADER_CODES, refused.code
    assert refused.detail.endswith("."), refused.detail
    assert len(refused.detail) < 1_000, refused.detail
    assert refused.offset is None or 0 <= refused.offset <= max(size, 8), refused.offset
    json.dumps(refused.facts)


def _check_anatomy(header: Header, data: bytes, config: bytes | None) -> None:
    raw = data[8 : header.data_start]
    careful = read_careful(raw, header.size_bytes - header.data_start, DEFAULT_LIMITS)
    assert careful == (header.tensors, header.metadata)
    assert list(careful.tensors) == list(header.tensors)
    source = BytesSource(data, header.size_bytes)
    inspection = analyse(
        header,
        name="x.safetensors",
        alpha_reader=lambda tensors: read_scalars(source, header, tensors),
        config=config,
    )
    text = json.dumps(inspection.to_dict(), ensure_ascii=False, allow_nan=False)
    text.encode()  # no half of a surrogate pair
    assert {finding.code for finding in inspection.findings} <= _CODES
    if official_verdict(data, header.size_bytes) is False:
        msg = "The official reader refuses what is accepted here."
        raise AssertionError(msg)


def declared_size(data: bytes) -> int:
    """Size of the file that the header's tensors ask for; else the size of what is there."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        entries = json.loads(data[8 : 8 + length])
        ends = [
            entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"
        ]
        return int(max(len(data), 8 + length + max(map(int, ends), default=0)))
    except (struct.error, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return len(data)
    except (RecursionError, OverflowError, MemoryError):
        return len(data)


def official_verdict(data: bytes, size: int) -> bool | None:
    """Whether the official reader takes the file; None when it is too large to ask."""
    if size > _OFFICIAL_BYTES:
        return None
    from safetensors import SafetensorError, deserialize  # noqa: PLC0415 - not needed elsewhere

    try:
        deserialize(data + bytes(max(0, size - len(data))))  # type: ignore[no-untyped-call]
    except SafetensorError:
        return False
    return True
