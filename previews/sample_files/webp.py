"""Parses WebP files, because libwebp allocates the whole canvas when it opens one."""

from __future__ import annotations

from dataclasses import dataclass, field

from lorary.pictures.faults import Broken
from lorary.pictures.webp import walk
from previews.sample_files.containers import Parts, require_end, require_pixels
from previews.sample_files.formats import (
    MAX_FILM_PIXELS,
    MAX_FRAMES,
    MAX_SECONDS,
    Refused,
    Why,
    refusal_of,
)

#: Browsers show frames of at most 10 ms for 100 ms.
SHORTEST_MS, USUAL_MS = 10, 100


@dataclass(slots=True)
class _Found:
    size: tuple[int, int] = (0, 0)
    exif: bytes = b""
    icc: bytes = b""
    durations_ms: list[int] = field(default_factory=list)


def take_apart(data: bytes) -> Parts:
    """Return size, Exif, colour profile and durations of frames of a WebP.

    Raises:
        Refused: damaged, incomplete, too large, too long, or with data after its end.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    require_end(data, end)
    found = _Found()
    try:
        for name, body in walk(data):
            _take(found, name, body)
    except Broken as fault:
        raise refusal_of(fault) from fault
    if len(found.durations_ms) > 1:
        _require_short(found)
    else:
        require_pixels(*found.size)
    exif = found.exif.removeprefix(b"Exif\0\0")
    return Parts(*found.size, data, {}, exif, found.icc, found.durations_ms)


def _take(found: _Found, name: bytes, body: bytes) -> None:
    if name == b"VP8X":
        found.size = _u24(body, 4) + 1, _u24(body, 7) + 1
    elif name == b"VP8 " and not any(found.size):
        found.size = _u14(body, 6), _u14(body, 8)
    elif name == b"VP8L" and not any(found.size):
        packed = int.from_bytes(body[1:5], "little")
        found.size = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif name == b"ANMF":
        duration_ms = _u24(body, 12)
        found.durations_ms.append(duration_ms if duration_ms > SHORTEST_MS else USUAL_MS)
        if len(found.durations_ms) > MAX_FRAMES:
            raise Refused(Why.FRAMES, limit=MAX_FRAMES)
    elif name == b"EXIF":
        found.exif = body
    elif name == b"ICCP":
        found.icc = body


def _require_short(found: _Found) -> None:
    require_pixels(*found.size, limit=MAX_FILM_PIXELS)
    seconds = sum(found.durations_ms) / 1000
    if seconds > MAX_SECONDS:
        raise Refused(Why.LENGTH, seconds=round(seconds), limit_s=MAX_SECONDS)


def _u24(body: bytes, place: int) -> int:
    return int.from_bytes(body[place : place + 3], "little")


def _u14(body: bytes, place: int) -> int:
    return int.from_bytes(body[place : place + 2], "little") & 0x3FFF
