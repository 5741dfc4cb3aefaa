"""Header of a safetensors file, checked rule by rule.

    ┌────────────┬──────────────────────────────┬───────────────────────────────┐
    │ u64 LE  N  │ N bytes of JSON, space-padded │ data: every byte one tensor's │
    └────────────┴──────────────────────────────┴───────────────────────────────┘

Stricter than the official reader (safetensors 0.8.0), which accepts repeated names, unknown
fields, `null` metadata, foreign white space and names that are paths.

Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from lorary.safetensors.dtypes import DTYPE_BITS
from lorary.safetensors.errors import HeaderError
from lorary.safetensors.limits import DEFAULT_LIMITS, FORMAT_HEADER_BYTES, Limits
from lorary.safetensors.signatures import SNIFF_BYTES, sniff
from lorary.safetensors.source import BytesSource, Source, open_source
from lorary.safetensors.strictjson import (
    check_budget,
    load_fast,
    load_strict,
    too_many_tensors,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["Header", "TensorInfo", "parse_header", "read_header"]

_MOST_ELEMENTS = 2**64 - 1
_BAD_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class TensorInfo(NamedTuple):
    """One tensor: what it is and where its bytes lie.

    A named tuple, because a header makes thousands and a frozen dataclass costs four times as
    much to build.

    Attributes:
        dtype: A key of `DTYPE_BITS`.
        shape: Elements per dimension; `()` is a scalar.
        begin: First byte, counted from the start of the data section.
        end: Byte after the last.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor."""
        return self.end - self.begin

    @property
    def elements(self) -> int:
        """Numbers in the tensor."""
        return (self.end - self.begin) * 8 // DTYPE_BITS[self.dtype]


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
        """Byte of the file where the data section begins."""
        return 8 + self.header_bytes


def parse_header(data: bytes, *, size: int | None = None, limits: Limits | None = None) -> Header:
    """Check the header in the first bytes of a file.

    Args:
        data: The file's first bytes, at least through its header.
        size: Size of the whole file in bytes; `len(data)` when left out.
        limits: Bounds; the defaults suit adapters.

    Raises:
        HeaderError: Anything is not as it has to be.
    """
    return _read(BytesSource(data, size), limits or DEFAULT_LIMITS)


def read_header(
    place: str | os.PathLike[str] | BinaryIO | Source, *, limits: Limits | None = None
) -> Header:
    """Check the header of a file, reading nothing else of it.

    Args:
        place: A path, a seekable binary file, or anything with `read_at`.
        limits: Bounds; the defaults suit adapters.

    Raises:
        HeaderError: Anything is not as it has to be.
        OSError: The file cannot be read.
    """
    with open_source(place) as source:
        return _read(source, limits or DEFAULT_LIMITS)


def _read(source: Source, limits: Limits) -> Header:
    length = _length(source, limits)
    raw = source.read_at(8, length)
    if len(raw) < length:
        message = f"The header takes {length:,} bytes, but only {len(raw):,} of it are here."
        raise HeaderError(
            code="file_truncated",
            message=message,
            offset=8 + len(raw),
            facts={"header_bytes": length},
        )
    parsed = _load(raw, limits)
    metadata = _metadata(parsed.pop("__metadata__", {}), limits)
    if len(parsed) > limits.tensors:
        raise too_many_tensors(len(parsed), limits)
    _check_names(parsed, limits)
    tensors = {name: _tensor(name, entry, limits) for name, entry in parsed.items()}
    _check_layout(tensors, source.size_bytes - 8 - length)
    return Header(tensors, metadata, length, source.size_bytes)


def _length(source: Source, limits: Limits) -> int:
    size = source.size_bytes
    head = source.read_at(0, SNIFF_BYTES)
    if not head:
        raise HeaderError(code="file_empty", message="The file is empty.", offset=0)
    length = int.from_bytes(head[:8], "little")
    most = min(limits.header_bytes, FORMAT_HEADER_BYTES)
    if len(head) >= 8 and length <= most and 8 + length <= size:
        if head[8:9] != b"{":
            message = "The header does not begin with `{` right after its length."
            raise HeaderError(code="header_bad_start", message=message, offset=8)
        return length
    foreign = sniff(head)
    if foreign is not None:
        raise foreign
    if len(head) < 8:
        message = f"The file has {len(head)} bytes; eight are needed for the header's length."
        raise HeaderError(
            code="file_truncated", message=message, offset=len(head), facts={"size_bytes": size}
        )
    facts = {"header_bytes": length, "limit": most, "size_bytes": size}
    if length > most:
        message = f"The header claims {length:,} bytes; {most:,} are allowed."
        raise HeaderError(code="header_too_large", message=message, offset=0, facts=facts)
    message = f"The header claims {length:,} bytes, but the file has only {size:,}."
    raise HeaderError(code="file_truncated", message=message, offset=size, facts=facts)


def _load(raw: bytes, limits: Limits) -> dict[str, object]:
    texts = check_budget(raw, limits)
    if not raw.rstrip(b" ").endswith(b"}"):
        message = "The header does not end with `}` and spaces only."
        raise HeaderError(code="header_bad_padding", message=message, offset=8 + len(raw) - 1)
    parsed = load_fast(raw)
    if isinstance(parsed, dict) and texts == _expected_texts(parsed):
        return parsed
    parsed = load_strict(raw)
    if not isinstance(parsed, dict):  # pragma: no cover - it begins with a brace
        raise HeaderError(
            code="header_invalid_json", message="The header is not a JSON object.", offset=8
        )
    return parsed


def _expected_texts(parsed: Mapping[str, object]) -> int:
    """Strings in the JSON of a header that lost nothing: a name, three fields and a dtype each."""
    metadata = parsed.get("__metadata__")
    if isinstance(metadata, dict):
        return 5 * (len(parsed) - 1) + 1 + 2 * len(metadata)
    return 5 * len(parsed)


def _metadata(value: object, limits: Limits) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise HeaderError(
            code="metadata_invalid", message="`__metadata__` is not an object.", offset=8
        )
    if len(value) > limits.metadata_keys:
        message = f"`__metadata__` has {len(value):,} keys; {limits.metadata_keys:,} are allowed."
        raise HeaderError(
            code="metadata_too_large", message=message, offset=8, facts={"keys": len(value)}
        )
    size = 0
    for name, text in value.items():
        if not isinstance(text, str):
            message = f"`__metadata__` maps {name[:80]!r} to something that is not text."
            raise HeaderError(
                code="metadata_invalid", message=message, offset=8, facts={"name": name[:80]}
            )
        size += len(name.encode()) + len(text.encode())
    if size > limits.metadata_bytes:
        message = f"`__metadata__` has {size:,} bytes; {limits.metadata_bytes:,} are allowed."
        raise HeaderError(
            code="metadata_too_large", message=message, offset=8, facts={"bytes": size}
        )
    return value


def _check_names(parsed: Mapping[str, object], limits: Limits) -> None:
    """Refuse names that no model has; one pass over all of them at once finds the usual case."""
    joined = "".join(parsed)
    plain = joined.isascii() and joined.isprintable() and "/" not in joined and "\\" not in joined
    if plain and "" not in parsed and max(map(len, parsed), default=0) <= limits.name_chars:
        return
    for name in parsed:
        fault = _name_fault(name, limits)
        if fault is not None:
            shown = name[:80]
            message = f"The tensor name {shown!r} is {fault}."
            raise HeaderError(
                code="tensor_name_invalid", message=message, offset=8, facts={"name": shown}
            )


def _name_fault(name: str, limits: Limits) -> str | None:
    if not name:
        return "empty"
    if len(name) > limits.name_chars:
        return f"longer than {limits.name_chars} characters"
    if any(unicodedata.category(letter) in _BAD_CATEGORIES for letter in name):
        return "unprintable: it holds control or direction characters"
    if name.startswith(("/", "\\", "~/")) or ".." in name.replace("\\", "/").split("/"):
        return "a path"
    return None


def _tensor(name: str, entry: object, limits: Limits) -> TensorInfo:
    if type(entry) is not dict or len(entry) != 3:
        raise _fields_invalid(name)
    try:
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    except KeyError:
        raise _fields_invalid(name) from None
    bits = DTYPE_BITS.get(dtype) if type(dtype) is str else None
    if bits is None:
        message = f"The tensor {name!r} has the unknown number format {str(dtype)[:40]!r}."
        raise HeaderError(code="dtype_unknown", message=message, offset=8, facts={"name": name})
    if type(offsets) is not list or len(offsets) != 2:
        raise _offsets_invalid(name)
    begin, end = offsets
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end:
        raise _offsets_invalid(name)
    total = _elements(name, shape, limits) * bits
    if total != (end - begin) * 8:
        raise _size_mismatch(name, total, end - begin)
    return tuple.__new__(TensorInfo, (dtype, tuple(shape), begin, end))


def _elements(name: str, shape: object, limits: Limits) -> int:
    if type(shape) is not list or len(shape) > limits.dimensions:
        raise _shape_invalid(name)
    count = 1
    for length in shape:
        if type(length) is not int or length < 0:
            raise _shape_invalid(name)
        count *= length
        # Checked at every step: 2**63 x 4 x 0 is zero, yet overflows in other readers.
        if count > _MOST_ELEMENTS:
            raise _shape_invalid(name)
    return count


def _check_layout(tensors: Mapping[str, TensorInfo], data_bytes: int) -> None:
    """Every byte of the data section belongs to exactly one tensor."""
    cursor = 0
    for _, _, begin, end in tensors.values():
        if begin != cursor:
            break
        cursor = end
    else:
        _check_end(cursor, data_bytes)
        return
    cursor = 0
    for begin, end, name in sorted((t.begin, t.end, name) for name, t in tensors.items()):
        if begin != cursor:
            code, what = ("overlap", "shares bytes") if begin < cursor else ("hole", "leaves a gap")
            message = f"The tensor {name!r} {what} with the tensor before it."
            facts = {"name": name, "begin": begin, "expected": cursor}
            raise HeaderError(code=code, message=message, offset=8, facts=facts)
        cursor = end
    _check_end(cursor, data_bytes)


def _check_end(cursor: int, data_bytes: int) -> None:
    facts = {"expected_bytes": cursor, "data_bytes": data_bytes}
    if cursor < data_bytes:
        message = f"{data_bytes - cursor:,} bytes follow the last tensor and belong to none."
        raise HeaderError(code="trailing_bytes", message=message, offset=None, facts=facts)
    if cursor > data_bytes:
        message = f"The file ends {cursor - data_bytes:,} bytes before its last tensor does."
        raise HeaderError(code="file_truncated", message=message, offset=None, facts=facts)


def _fields_invalid(name: str) -> HeaderError:
    message = f"The entry of tensor {name!r} needs exactly dtype, shape and data_offsets."
    return HeaderError("tensor_fields_invalid", message, 8, {"name": name})


def _offsets_invalid(name: str) -> HeaderError:
    message = f"The data_offsets of tensor {name!r} are not two ordered whole numbers."
    return HeaderError("offsets_invalid", message, 8, {"name": name})


def _shape_invalid(name: str) -> HeaderError:
    message = f"The shape of tensor {name!r} is not a short list of whole numbers."
    return HeaderError("shape_invalid", message, 8, {"name": name})


def _size_mismatch(name: str, bits: int, found_bytes: int) -> HeaderError:
    message = (
        f"The tensor {name!r} needs {bits / 8:,g} bytes by its shape and number format, "
        f"but has {found_bytes:,}."
    )
    return HeaderError("size_mismatch", message, 8, {"name": name, "found_bytes": found_bytes})
