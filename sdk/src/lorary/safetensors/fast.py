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
    """Return the content of a header, or None if it must be read by `strict`."""
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
    """Return whether a number is -0: parsers read it as 0, but the official reader refuses it.

    Names and texts may also contain it ("v1-0"). A regular expression is as slow as parsing.
    """
    place = raw.find(b"-0")
    while place > 0:
        if raw[place - 1] in _BEFORE_NUMBERS:
            return True
        place = raw.find(b"-0", place + 2)
    return False


def _tensors(parsed: dict[str, Any], data_bytes: int, limits: Limits) -> Tensors | None:
    """Return the tensors as columns; a loop over the tensors would cost twice as much."""
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
        # A product of zero may hide an overflow that occurs before the zero.
        if not 0 < min(counts) <= max(counts) <= MOST_ELEMENTS or not all(
            map(eq, map(mul, counts, bits), sizes)
        ):
            return None
    except (KeyError, TypeError):  # a field is missing, or a format is unknown or not a string
        return None
    if not is_gapless(begins, ends, data_bytes):
        return None
    return Tensors(tuple(parsed), dtypes, list(map(tuple, shapes)), begins, ends)


def _are(kind: type, values: Iterable[object]) -> bool:
    """Return whether all values are exactly of a type; `bool` is not `int` here."""
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
"""Maximum size for orjson, which is faster but allocates twelve times the size of the text."""

# Numbers with so many digits that no size can have them; the standard library is quadratic there.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_TOO_MANY_DIGITS = b"0" * 21


def parse(raw: bytes) -> object | None:
    """Return the value of a JSON text, or None if anything about it is unusual.

    If an object has equal names, the last one is kept; -0 is read as 0.
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
