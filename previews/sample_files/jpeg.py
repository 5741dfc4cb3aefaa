"""Parses JPEG files by their markers."""

from __future__ import annotations

from lorary.pictures.faults import Broken
from lorary.pictures.jpeg import EXIF, walk
from previews.sample_files.containers import Parts, require_end, require_pixels
from previews.sample_files.formats import refusal_of

_ICC = b"ICC_PROFILE\0"
#: Start of frame: C0 to CF without C4 (tables), C8 (extension) and CC (arithmetic).
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def take_apart(data: bytes) -> Parts:
    """Return size, Exif and colour profile of a JPEG.

    Raises:
        Refused: damaged, incomplete, too large, or with data after its end.
    """
    width = height = end = 0
    exif, icc = b"", []
    try:
        for marker, body, place in walk(data):
            end = place
            if marker in _FRAMES:
                height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
                require_pixels(width, height)
            elif body.startswith(EXIF):
                exif = body.removeprefix(EXIF)
            elif body.startswith(_ICC):
                icc.append(body[len(_ICC) :])
    except Broken as fault:
        raise refusal_of(fault) from fault
    require_end(data, end)
    require_pixels(width, height)
    profile = b"".join(piece[2:] for piece in sorted(icc))  # each begins with its number
    return Parts(width, height, data, exif=exif, icc=profile)
