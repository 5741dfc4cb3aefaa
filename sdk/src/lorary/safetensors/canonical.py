"""Headers exactly as the official library writes them, which is nearly all there are.

    {"__metadata__":{…},"NAME":{"dtype":"F16","shape":[8,640],"data_offsets":[0,10240]},"NAME":…}

Where nothing is escaped every quote begins or ends a text, so that the tensors cut at their quotes
are columns of period ten. These are checked and read at once, with half the work of parsing them
into thousands of dictionaries. Tensors lie in the header's order, one behind the other. Whatever
has any other form is left to `fast`.

Source: https://github.com/huggingface/safetensors, `serialize`.
"""

from __future__ import annotations

from itertools import accumulate
from math import prod
from operator import itemgetter
from typing import TYPE_CHECKING

from lorary.safetensors.budget import count_texts
from lorary.safetensors.dtypes import DTYPE_BITS
from lorary.safetensors.parsers import parse
from lorary.safetensors.rules import are_plain_names, is_metadata
from lorary.safetensors.tensors import MOST_ELEMENTS, Content, Tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lorary.safetensors.limits import Limits

__all__ = ["read_canonical"]

_MOST_BYTES = 1024 * 1024  # the pieces of a hostile text take up to twenty times its room
_FIRST = b'":{"dtype":"'
_PERIOD = 10
_CONSTANTS = ((2, ":{"), (3, "dtype"), (4, ":"), (6, ","), (7, "shape"), (9, "data_offsets"))
_MOST_DIGITS = 20
_METADATA = "__metadata__"

_Form = tuple[str, tuple[int, ...], int]  # number format, shape, bytes
_DTYPE, _SHAPE, _SIZE = itemgetter(0), itemgetter(1), itemgetter(2)


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


def _tensors(members: bytes, data_bytes: int, limits: Limits) -> Tensors | None:
    if b"\\" in members or not members.isascii():
        return None
    pieces = members.decode().split('"')
    count, rest = divmod(len(pieces) - 1, _PERIOD)
    if rest or not 0 < count <= limits.tensors:
        return None
    if any(pieces[place::_PERIOD].count(text) != count for place, text in _CONSTANTS):
        return None
    names = tuple(pieces[1::_PERIOD])
    different = set(names)
    if len(different) < count or _METADATA in different:
        return None
    forms = _forms(pieces[5::_PERIOD], pieces[8::_PERIOD], limits)
    if forms is None or not are_plain_names(names, limits):
        return None
    ends = list(accumulate(map(_SIZE, forms)))
    if ends[-1] != data_bytes or not _are_in_order(pieces[10::_PERIOD], ends):
        return None
    dtypes, shapes = list(map(_DTYPE, forms)), list(map(_SHAPE, forms))
    return Tensors(names, dtypes, shapes, [0, *ends[:-1]], ends)


def _forms(dtypes: list[str], shapes: list[str], limits: Limits) -> list[_Form] | None:
    """Number format, shape and bytes of each tensor; of thousands, a few are different."""
    found: list[_Form | None]
    if len(set(dtypes)) == 1:
        by_shape = {text: _form(dtypes[0], text, limits) for text in set(shapes)}
        found = list(map(by_shape.__getitem__, shapes))
    else:
        texts = list(zip(dtypes, shapes, strict=True))
        by_both = {both: _form(*both, limits) for both in set(texts)}
        found = list(map(by_both.__getitem__, texts))
    return None if None in found else found  # type: ignore[return-value]  # not seen through


def _form(dtype: str, text: str, limits: Limits) -> _Form | None:
    shape = _shape(text, limits)
    if shape is None or dtype not in DTYPE_BITS:
        return None
    elements = prod(shape)
    size, rest = divmod(elements * DTYPE_BITS[dtype], 8)
    return None if rest or elements > MOST_ELEMENTS else (dtype, shape, size)


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


def _are_in_order(spans: Sequence[str], ends: Sequence[int]) -> bool:
    """Tell whether the places in `:[0,10240]},` of all tensors are those that their sizes give.

    The last of them ends with a brace. Texts are made and compared: that takes as long as reading
    the numbers, and leaves nothing to check.
    """
    texts = list(map(str, ends))
    places = "]},\n:[".join(map(",".join, zip(["0", *texts], texts)))  # noqa: B905 - one is longer
    return "\n".join(spans).rstrip(" ") == f":[{places}]}}}}"
