"""Finds the end of a video file, to refuse files with other data after it."""

from __future__ import annotations

import io

from lorary.pictures import mp4, webm
from lorary.pictures.faults import Broken
from previews.sample_files.containers import require_end
from previews.sample_files.formats import HEAD_BYTES, Format, Refused, Why, named, refusal_of


def require_whole(kind: Format, data: bytes) -> None:
    """Raise ``Refused`` for a video that is incomplete or has data after its end."""
    try:
        end = _end_of_boxes(data) if kind == Format.MP4 else _end_of_segment(data)
    except Broken as fault:
        raise refusal_of(fault) from fault
    require_end(data, end)


def _end_of_boxes(data: bytes) -> int:
    place = 0
    for letters, _start, end in mp4.walk(io.BytesIO(data), len(data)):
        if not mp4.is_letters(letters):
            raise Refused(Why.TRAILING, what=named(data[place : place + HEAD_BYTES]))
        place = end
    return place


def _end_of_segment(data: bytes) -> int:
    """Return the end of the Segment; a live recording has none and ends with the file."""
    _kind, length, start = webm.head_of(data)
    place = start + max(0, length)
    if data[place : place + 4] != webm.SEGMENT.to_bytes(4, "big"):
        raise Refused(Why.DAMAGED)
    _kind, length, start = webm.head_of(data[place : place + 16])
    return len(data) if length < 0 else place + start + length
