"""Reads the elements of an untrusted WebM, and its tags.

```
EBML header | Segment ── Tags ── Tag ── SimpleTag ─┬─ TagName
            each: id, length as a variable-length  └─ TagString
            number, bytes
```

Source: RFC 8794 §4 and §5; RFC 9559 §5.1.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from lorary.pictures.faults import Broken, Fault

#: Maximum number of elements of a Segment.
MAX_ELEMENTS = 1_000_000

SEGMENT = 0x18538067
_TAGS, _TAG, _SIMPLE, _NAME, _STRING = 0x1254C367, 0x7373, 0x67C8, 0x45A3, 0x4487
#: Bytes of the longest id and the longest length.
_HEAD = 12


def number(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of variable length and its end.

    Raises:
        Broken: the data end before it does.
    """
    first = data[place] if place < len(data) else 0
    size = 9 - first.bit_length()
    if size > 8 or place + size > len(data):
        raise Broken(Fault.CUT)
    value = int.from_bytes(data[place : place + size], "big") & ((1 << 7 * size) - 1)
    return value, place + size


def head_of(data: bytes) -> tuple[int, int, int]:
    """Return id, length and start of an element; the length is -1 if it is unknown.

    Raises:
        Broken: the data end before its bytes begin.
    """
    _value, end = number(data, 0)
    length, start = number(data, end)
    is_unknown = length == (1 << 7 * (start - end)) - 1
    return int.from_bytes(data[:end], "big"), -1 if is_unknown else length, start


def texts_in(file: BinaryIO, size: int, room: int) -> dict[str, str]:
    """Return the tags of a file by name, in lower case.

    Of a recording whose parts have no length, only those before the first such part are read.

    Args:
        room: Maximum number of bytes of all tags.

    Raises:
        Broken: the file is incomplete or damaged, or its tags are too large.
    """
    texts: dict[str, str] = {}
    for kind, start, length in _of_segment(file, size):
        if kind != _TAGS:
            continue
        room -= length
        if room < 0:
            raise Broken(Fault.TEXTS)
        file.seek(start)
        for name, text in _simple_tags(file.read(length)):
            texts.setdefault(name, text.decode("utf-8", "replace"))
    return texts


def _of_segment(file: BinaryIO, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield id, start and length of each element of the first Segment."""
    place = 0
    for _ in range(MAX_ELEMENTS):
        if place >= size:
            return
        file.seek(place)
        kind, length, start = head_of(file.read(_HEAD + 4))
        if kind == SEGMENT:
            place += start
            continue
        if length < 0:
            return
        yield kind, place + start, length
        place += start + length
    raise Broken(Fault.ENDLESS)


def _elements(body: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(body):
        kind, length, start = head_of(body[place : place + _HEAD + 4])
        end = place + start + length
        if length < 0 or end > len(body):
            raise Broken(Fault.CUT)
        yield kind, body[place + start : end]
        place = end


def _simple_tags(body: bytes) -> Iterator[tuple[str, bytes]]:
    for kind, tag in _elements(body):
        for inner, simple in _elements(tag) if kind == _TAG else ():
            values = dict(_elements(simple)) if inner == _SIMPLE else {}
            if _NAME in values and _STRING in values:
                yield values[_NAME].decode("utf-8", "replace").casefold(), values[_STRING]
