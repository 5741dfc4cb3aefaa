"""Finds the end of a video file, to refuse files with other data after it.

```
MP4:   u32 BE length, 4 letters, bytes … box after box; length 1: u64 follows, 0: to the end
WebM:  EBML header | Segment, each: id, length as a variable-length number, bytes
```

Source: ISO/IEC 14496-12 §4.2; RFC 8794 §4 and §5.
"""

from __future__ import annotations

import re

from previews.sample_files.containers import require_end
from previews.sample_files.formats import HEAD_BYTES, Format, Refused, Why, named

_LETTERS = re.compile(rb"[ -~\xa9]{4}\Z")
_SEGMENT = b"\x18\x53\x80\x67"


def require_whole(kind: Format, data: bytes) -> None:
    """Raise ``Refused`` for a video that is incomplete or has data after its end."""
    require_end(data, _end_of_boxes(data) if kind == Format.MP4 else _end_of_segment(data))


def _end_of_boxes(data: bytes) -> int:
    place = 0
    while place < len(data):
        length, letters = (
            int.from_bytes(data[place : place + 4], "big"),
            data[place + 4 : place + 8],
        )
        if not _LETTERS.match(letters):
            raise Refused(Why.TRAILING, what=named(data[place : place + HEAD_BYTES]))
        if length == 1:
            length = int.from_bytes(data[place + 8 : place + 16], "big")
        elif length == 0:
            return len(data)
        if length < 8:
            raise Refused(Why.DAMAGED)
        place += length
    return place


def _end_of_segment(data: bytes) -> int:
    """Return the end of the Segment; a live recording has none and ends with the file."""
    length, start = _number(data, 4)
    place = start + length
    if data[place : place + 4] != _SEGMENT:
        raise Refused(Why.DAMAGED)
    length, start = _number(data, place + 4)
    is_unknown = length == (1 << 7 * (start - place - 4)) - 1
    return len(data) if is_unknown else start + length


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of variable length and its end."""
    first = data[place] if place < len(data) else 0
    size = 9 - first.bit_length()
    if size > 8:
        raise Refused(Why.CUT)
    value = int.from_bytes(data[place : place + size], "big") & ((1 << 7 * size) - 1)
    return value, place + size
