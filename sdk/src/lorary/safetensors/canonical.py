"""Headers exactly as the official library writes them, which is nearly all there are.

    {"__metadata__":{…},"NAME":{"dtype":"F16","shape":[8,640],"data_offsets":[0,10240]},"NAME":…}

Where nothing is escaped every quote begins or ends a text, so that the tensors cut at their quotes
are columns of period ten. These are checked and read at once, with a third less work than parsing
them into thousands of dictionaries. Whatever has any other form is left to `fast`.

Source: https://github.com/huggingface/safetensors, `serialize`.
"""

from __future__ import annotations

from functools import partial
from math import prod
from operator import eq, mul, sub
from typing import TYPE_CHECKING

from lorary.safetensors.budget import count_texts
from lorary.safetensors.dtypes import DTYPE_BITS
from lorary.safetensors.parsers import parse
from lorary.safetensors.rules import are_plain_names, is_gapless, is_metadata
from lorary.safetensors.tensors import MOST_ELEMENTS, Content, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lorary.safetensors.limits import Limits

__all__ = ["read_canonical"]

_MOST_BYTES = 1024 * 1024  # the pieces of a hostile text take up to twenty times its room
_FIRST = b'":{"dtype":"'
_PERIOD = 10
_CONSTANTS = ((2, ":{"), (3, "dtype"), (4, ":"), (6, ","), (7, "shape"), (9, "data_offsets"))
_DIGITS = b"0123456789"
_MOST_DIGITS = 20
_DTYPES = {name: name for name in DTYPE_BITS}  # one text for each, not one for each tensor
_METADATA = "__metadata__"

_new: partial[TensorInfo] = partial(tuple.__new__, TensorInfo)


def read_canonical(raw: bytes, data_bytes: int, limits: Limits) -> Content | None:
    """The content of a header, or None when it has another form or a fault.

    Args:
        raw: The header's JSON with its padding.
        data_bytes: Length of the data section.
        limits: Bounds of the header.
    """
    # A text cannot hold this: its quotes would be escaped.
    place = raw.find(_FIRST) if len(raw) <= _MOST_BYTES else -1
    start = raw.rfind(b'"', 0, max(0, place))
    if start < 1:
        return None
    metadata = {} if start == 1 else _metadata(raw[:start], limits)
    if metadata is None:
        return None
    tensors = _tensors(raw[start:], data_bytes, limits)
    return None if tensors is None else Content(tensors, metadata)


def _metadata(head: bytes, limits: Limits) -> dict[str, str] | None:
    """The metadata, when there is nothing but them before the tensors."""
    if not head.endswith(b"},"):
        return None
    raw = head[:-1] + b"}"
    parsed = parse(raw)
    if not isinstance(parsed, dict) or parsed.keys() != {_METADATA}:
        return None
    metadata: dict[str, str] = parsed[_METADATA]
    if not is_metadata(metadata, limits) or count_texts(raw) != 1 + 2 * len(metadata):
        return None
    return metadata


def _tensors(members: bytes, data_bytes: int, limits: Limits) -> dict[str, TensorInfo] | None:
    if b"\\" in members or not members.isascii():
        return None
    pieces = members.decode().split('"')
    count, rest = divmod(len(pieces) - 1, _PERIOD)
    if rest or not 0 < count <= limits.tensors:
        return None
    if any(pieces[place::_PERIOD].count(text) != count for place, text in _CONSTANTS):
        return None
    names, shape_texts = pieces[1::_PERIOD], pieces[8::_PERIOD]
    numbers = _numbers(pieces[10::_PERIOD])
    shapes = {text: _shape(text, limits) for text in set(shape_texts)}
    elements = {text: 0 if shape is None else prod(shape) for text, shape in shapes.items()}
    if numbers is None or not 0 < min(elements.values()) <= max(elements.values()) <= MOST_ELEMENTS:
        return None
    try:
        dtypes = list(map(_DTYPES.__getitem__, pieces[5::_PERIOD]))
    except KeyError:
        return None
    begins, ends = numbers[0::2], numbers[1::2]
    bits = map(mul, map(elements.__getitem__, shape_texts), map(DTYPE_BITS.__getitem__, dtypes))
    if not all(map(eq, bits, map((8).__mul__, map(sub, ends, begins)))):
        return None
    if not is_gapless(begins, ends, data_bytes) or not are_plain_names(names, limits):
        return None
    rows = zip(dtypes, map(shapes.__getitem__, shape_texts), begins, ends, strict=True)
    tensors = dict(zip(names, map(_new, rows), strict=True))
    return tensors if len(tensors) == count and _METADATA not in tensors else None


def _shape(text: str, limits: Limits) -> tuple[int, ...] | None:
    """The shape in `:[8,640],`; None for zeros, too, whose products can hide an overflow."""
    if not (text.startswith(":[") and text.endswith("],")):
        return None
    inner = text[2:-2]
    parts = inner.split(",") if inner else []
    if len(parts) > limits.dimensions:
        return None
    for part in parts:
        if not part.isdigit() or part[0] == "0" or len(part) > _MOST_DIGITS:
            return None
    return tuple(map(int, parts))


def _numbers(spans: Sequence[str]) -> list[int] | None:
    """The numbers in `:[0,10240]},` of all tensors, the last of which ends with a brace."""
    lines = "\n".join(spans).rstrip(" ").encode()
    form = b":[,]},\n" * len(spans)
    if lines.translate(None, _DIGITS) != form[:-2] + b"}":
        return None
    parsed = parse(b"[" + lines[2:-3].replace(b"]},\n:[", b",") + b"]")
    if not isinstance(parsed, list) or set(map(type, parsed)) != {int}:
        return None
    return parsed if len(parsed) == 2 * len(spans) else None
