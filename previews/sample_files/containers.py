"""The parsed parts of a picture file, and checks for several formats."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from previews.png_chunks import PICTURE, SIGNATURE, TEXTS, Broken, Fault, walk
from previews.sample_files.formats import (
    HEAD_BYTES,
    MAX_FILM_PIXELS,
    MAX_FRAMES,
    MAX_PIXELS,
    MAX_SECONDS,
    MAX_SIDE,
    MAX_TEXT_BYTES,
    MIB,
    Refused,
    Why,
    named,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a picture file."""

    width: int  # in pixels from the header, like the height before rotation
    height: int
    picture: bytes  # bytes for the decoder
    texts: Mapping[str, str] = field(default_factory=dict)  # plain texts by keyword
    exif: bytes = b""  # TIFF structure, without a prefix
    icc: bytes = b""  # colour profile
    durations_ms: Sequence[int] = ()  # duration of each frame of an animation


def require_pixels(width: int, height: int, *, limit: int = MAX_PIXELS) -> None:
    """Raise ``Refused`` for a picture that is too large or has no pixels."""
    if width < 1 or height < 1:
        raise Refused(Why.DAMAGED)
    if width * height > limit or max(width, height) > MAX_SIDE:
        raise Refused(Why.PIXELS, width=width, height=height, megapixels=round(limit / 1e6))


def require_end(data: bytes, end: int) -> None:
    """Raise ``Refused`` for a file that is longer or shorter than its picture."""
    if end > len(data):
        raise Refused(Why.CUT)
    if end < len(data):
        raise Refused(Why.TRAILING, what=named(data[end : end + HEAD_BYTES]))


def inflate(packed: bytes, *, limit: int = MAX_TEXT_BYTES) -> bytes:
    """Return decompressed zlib data.

    Raises:
        Refused: ``TEXTS`` for more than ``limit`` bytes, ``DAMAGED`` if it is not zlib.
    """
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(packed, limit + 1)
    except zlib.error as error:
        raise Refused(Why.DAMAGED) from error
    if len(plain) > limit:
        raise Refused(Why.TEXTS)
    return plain


def png_parts(data: bytes) -> Parts:
    """Return size, picture, texts, Exif and colour profile of a PNG.

    Raises:
        Refused: damaged, incomplete, too large, or with data after its end.
    """
    width = height = 0
    room = MAX_TEXT_BYTES
    texts: dict[str, str] = {}
    bare, exif, icc = [SIGNATURE], b"", b""
    for name, start, body, end in _png_chunks(data):
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


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, bytes, int]]:
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


# Parses JPEG files by their markers.
#
# ```
# FFD8 | FFE1 length "Exif" … | FFE2 length "ICC_PROFILE" … | FFC0 length size … | FFDA … data |
# FFD9
# ```
#
# Source: ITU-T T.81, Annex B.

_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"
_SOS, _EOI = 0xDA, 0xD9
#: Start of frame: C0 to CF without C4 (tables), C8 (extension) and CC (arithmetic).
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: In data, FF is followed by 0, a restart (D0 to D7) or another FF; else it starts a marker.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def jpeg_parts(data: bytes) -> Parts:
    """Return size, Exif and colour profile of a JPEG.

    Raises:
        Refused: damaged, incomplete, too large, or with data after its end.
    """
    width = height = 0
    exif, icc = b"", []
    place = 2
    while True:
        marker, place = _marker(data, place)
        if marker == _EOI:
            break
        length = int.from_bytes(data[place : place + 2], "big")
        body, place = data[place + 2 : place + length], place + length
        if length < 2 or place > len(data):
            raise Refused(Why.CUT)
        if marker in _FRAMES:
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            require_pixels(width, height)
        elif marker == _SOS:
            found = _MARKER.search(data, place)
            if found is None:
                raise Refused(Why.CUT)
            place = found.start()
        elif body.startswith(_EXIF):
            exif = body.removeprefix(_EXIF)
        elif body.startswith(_ICC):
            icc.append(body[len(_ICC) :])
    require_end(data, place)
    require_pixels(width, height)
    profile = b"".join(piece[2:] for piece in sorted(icc))  # each begins with its number
    return Parts(width, height, data, exif=exif, icc=profile)


def _marker(data: bytes, place: int) -> tuple[int, int]:
    """Return the code and the end of a marker; any number of FF may precede it."""
    while data[place : place + 2] == b"\xff\xff":
        place += 1
    head = data[place : place + 2]
    if len(head) < 2:
        raise Refused(Why.CUT)
    if head[0] != 0xFF:
        raise Refused(Why.DAMAGED)
    return head[1], place + 2


# Parses WebP files, because libwebp allocates the whole canvas when it opens one.
#
# ```
# "RIFF" u32 LE length "WEBP" | VP8X | ICCP | ANIM | ANMF … or VP8 or VP8L | EXIF | XMP
#             every chunk: 4 letters, u32 LE length, bytes, a pad byte after an odd length
# ```
#
# Source: https://developers.google.com/speed/webp/docs/riff_container

#: Browsers show frames of at most 10 ms for 100 ms.
SHORTEST_MS, USUAL_MS = 10, 100


@dataclass(slots=True)
class _Found:
    size: tuple[int, int] = (0, 0)
    exif: bytes = b""
    icc: bytes = b""
    durations_ms: list[int] = field(default_factory=list)


def webp_parts(data: bytes) -> Parts:
    """Return size, Exif, colour profile and durations of frames of a WebP.

    Raises:
        Refused: damaged, incomplete, too large, too long, or with data after its end.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    require_end(data, end)
    found = _Found()
    for name, body in _webp_chunks(data):
        _take(found, name, body)
    if len(found.durations_ms) > 1:
        _require_short(found)
    else:
        require_pixels(*found.size)
    exif = found.exif.removeprefix(b"Exif\0\0")
    return Parts(*found.size, data, {}, exif, found.icc, found.durations_ms)


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 12
    while place < len(data):
        name, length = (
            data[place : place + 4],
            int.from_bytes(data[place + 4 : place + 8], "little"),
        )
        end = place + 8 + length
        if end > len(data):
            raise Refused(Why.CUT)
        yield name, data[place + 8 : end]
        place = end + length % 2


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
