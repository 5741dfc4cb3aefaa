"""Parses PNG files. The decoder gets only the chunks of the still picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from previews.png_chunks import PICTURE, SIGNATURE, TEXTS, Broken, Fault, walk
from previews.sample_files.containers import Parts, inflate, require_end, require_pixels
from previews.sample_files.formats import MAX_TEXT_BYTES, MIB, Refused, Why


def take_apart(data: bytes) -> Parts:
    """Return size, picture, texts, Exif and colour profile of a PNG.

    Raises:
        Refused: damaged, incomplete, too large, or with data after its end.
    """
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
            keyword, text = _text(name, body, room)
            room -= len(text)
            texts.setdefault(keyword, _decoded(text))
        elif name == b"eXIf":
            exif = body
        elif name == b"iCCP":
            icc = inflate(body.partition(b"\0")[2][1:], limit=4 * MIB)
    return Parts(width, height, b"".join(bare), texts, exif, icc)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, bytes, int]]:
    """Yield name, start, bytes and end of each chunk."""
    end = 0
    try:
        for chunk in walk(data):
            end = chunk[-1]
            yield chunk
    except Broken as fault:
        raise Refused(Why.CUT if fault.why == Fault.CUT else Why.DAMAGED) from fault
    require_end(data, end)


def _size(name: bytes, body: bytes) -> tuple[int, int]:
    if name != b"IHDR" or len(body) != 13:
        raise Refused(Why.DAMAGED)
    width, height = struct.unpack(">II", body[:8])
    require_pixels(width, height)
    return width, height


def _text(name: bytes, body: bytes, room: int) -> tuple[str, bytes]:
    """Return keyword and text of a text chunk, decompressed to at most ``room`` bytes."""
    keyword, _, rest = body.partition(b"\0")
    is_packed = name == b"zTXt"
    if is_packed:
        rest = rest[1:]
    elif name == b"iTXt":
        is_packed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1]  # language and translated keyword come first
    text = inflate(rest, limit=room) if is_packed else rest
    if len(text) > room:
        raise Refused(Why.TEXTS)
    return keyword[:80].decode("latin-1"), text


def _decoded(text: bytes) -> str:
    """Decode as UTF-8, which many tools write instead of Latin-1."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
