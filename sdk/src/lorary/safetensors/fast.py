"""Reads valid headers in a few passes over all tensors at once.

Nothing is refused here: any header that is not clearly valid is passed to `strict`, which takes six
times as long, finds the byte and writes the error. Both accept the same headers.

JSON parsers silently keep the last of two equal names, so the strings in the raw bytes are counted
and compared with those of the parsed header. If `orjson` is
installed, it parses the header, otherwise the standard library.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from math import prod
from operator import eq, itemgetter, mul, sub
from typing import TYPE_CHECKING, Any

from lorary.safetensors.rules import (
    are_plain_names,
    count_texts,
    is_gapless,
    is_harmless,
    is_metadata,
)
from lorary.safetensors.tensors import DTYPE_BITS, MOST_BYTES, MOST_ELEMENTS, Content, Tensors

if TYPE_CHECKING:
    from lorary.safetensors.rules import Limits

_BEFORE_NUMBERS = frozenset(b"[,: \n\t\r")

_dtype, _shape, _span = itemgetter("dtype"), itemgetter("shape"), itemgetter("data_offsets")
_begin, _end = itemgetter(0), itemgetter(1)


def read_fast(raw: bytes, data_bytes: int, limits: Limits) -> Content | None:
    """The content of a header, or None when it has to be read carefully."""
    if data_bytes > MOST_BYTES:
        return None
    texts = count_texts(raw)
    if not is_harmless(raw, texts, limits) or not raw.rstrip(b" ").endswith(b"}"):
        return None
    parsed = None if _may_hold_negative_zero(raw) else parse(raw)
    if not isinstance(parsed, dict):
        return None
    metadata = parsed.pop("__metadata__", None)
    expected = 5 * len(parsed)
    if metadata is not None:
        if not is_metadata(metadata, limits):
            return None
        expected += 1 + 2 * len(metadata)
    if texts != expected or not are_plain_names(parsed, limits):
        return None
    tensors = _tensors(parsed, data_bytes, limits)
    return None if tensors is None else Content(tensors, metadata or {})


def _may_hold_negative_zero(raw: bytes) -> bool:
    """Tell whether a -0 stands where numbers do: parsers read it as 0, the official one refuses it.

    Names and texts hold a few ("v1-0"). A pattern would take as long as parsing everything.
    """
    place = raw.find(b"-0")
    while place > 0:
        if raw[place - 1] in _BEFORE_NUMBERS:
            return True
        place = raw.find(b"-0", place + 2)
    return False


def _tensors(parsed: dict[str, Any], data_bytes: int, limits: Limits) -> Tensors | None:
    """The tensors, column by column: a loop over them costs twice as much."""
    if not parsed:
        return Tensors() if data_bytes == 0 else None
    entries = parsed.values()
    if len(parsed) > limits.tensors or not _are(dict, entries) or set(map(len, entries)) != {3}:
        return None
    try:
        dtypes, shapes, spans = (list(map(of, entries)) for of in (_dtype, _shape, _span))
        bits = map(DTYPE_BITS.__getitem__, dtypes)
        if not _are_shapes(shapes, limits) or not _are_spans(spans):
            return None
        begins, ends = list(map(_begin, spans)), list(map(_end, spans))
        counts = list(map(prod, shapes))
        sizes = map((8).__mul__, map(sub, ends, begins))
        # A product of zero may hide an overflow before its zero.
        if not 0 < min(counts) <= max(counts) <= MOST_ELEMENTS or not all(
            map(eq, map(mul, counts, bits), sizes)
        ):
            return None
    except (KeyError, TypeError):  # a field is missing, a number format unknown or no text
        return None
    if not is_gapless(begins, ends, data_bytes):
        return None
    return Tensors(tuple(parsed), dtypes, list(map(tuple, shapes)), begins, ends)


def _are(kind: type, values: Iterable[object]) -> bool:
    """Tell whether all values are exactly of a type; `bool` is not `int` here."""
    return not set(map(type, values)) - {kind}


def _are_shapes(shapes: Sequence[Any], limits: Limits) -> bool:
    return (
        _are(list, shapes)
        and max(map(len, shapes)) <= limits.dimensions
        and _are(int, chain.from_iterable(shapes))
        and min(chain.from_iterable(shapes), default=0) >= 0
    )


def _are_spans(spans: Sequence[Any]) -> bool:
    return (
        _are(list, spans) and set(map(len, spans)) == {2} and _are(int, chain.from_iterable(spans))
    )


try:
    import orjson
except ImportError:  # pragma: no cover - depends on the installation
    orjson_loads: Callable[[bytes], object] | None = None
else:
    orjson_loads = orjson.loads

_ORJSON_BYTES = 1024 * 1024
"""It is the faster one, but takes twelve times the text's room before it begins."""

# Digits that no size can have. The standard library takes quadratic time for them.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_TOO_MANY_DIGITS = b"0" * 21


def parse(raw: bytes) -> object | None:
    """The value of a JSON text, or None when something about it is unusual.

    Of equal names in an object the last is kept, and -0 is read as 0.
    """
    if orjson_loads is not None and len(raw) <= _ORJSON_BYTES:
        try:
            return orjson_loads(raw)
        except ValueError:
            return None
    if _TOO_MANY_DIGITS in raw.translate(_DIGITS):
        return None
    try:
        parsed: object = json.loads(raw.decode())
        return parsed
    except (ValueError, RecursionError):
        return None
