"""Parses PNG files. The decoder gets only the chunks of the still picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lorary.pictures.faults import Broken
from lorary.pictures.png import PICTURE, SIGNATURE, TEXTS, inflate, text_of, walk
from previews.sample_files.containers import Parts, require_end, require_pixels
from previews.sample_files.formats import MAX_TEXT_BYTES, MIB, Refused, Why, refusal_of


def take_apart(data: bytes) -> Parts:
    """Return size, picture, texts, Exif and colour profile of a PNG.

    Raises:
        Refused: damaged, incomplete, too large, or with data after its end.
    """
    try:
        return _take_apart(data)
    except Broken as fault:
        raise refusal_of(fault) from fault


def _take_apart(data: bytes) -> Parts:
    width = height = 0
    room = MAX_TEXT_BYTES
    texts: dict[str, str] = {}
    bare, exif, icc = [SIGNATURE], b"", b""
    for name, start, body, end in _chunks(data):
        if not width:
            width, height = _size(name, body)
        if name in PICTURE:
            bare.append(data[start:end])
        elif name in TEXTS:
            keyword, text, length = text_of(name, body, room)
            room -= length
            texts.setdefault(keyword, text)
        elif name == b"eXIf":
            exif = body
        elif name == b"iCCP":
            icc = inflate(body.partition(b"\0")[2][1:], 4 * MIB)
    return Parts(width, height, b"".join(bare), texts, exif, icc)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, bytes, int]]:
    """Yield name, start, bytes and end of each chunk."""
    end = 0
    for chunk in walk(data):
        end = chunk[-1]
        yield chunk
    require_end(data, end)


def _size(name: bytes, body: bytes) -> tuple[int, int]:
    if name != b"IHDR" or len(body) != 13:
        raise Refused(Why.DAMAGED)
    width, height = struct.unpack(">II", body[:8])
    require_pixels(width, height)
    return width, height
