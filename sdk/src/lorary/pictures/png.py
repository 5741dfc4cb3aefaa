"""Reads the chunks of an untrusted PNG, and their texts.

```
signature | IHDR | tEXt, zTXt, iTXt, iCCP, eXIf, … | IDAT … | IEND
            every chunk: u32 BE length, 4 letters, bytes, CRC-32 of letters and bytes
```

Source: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from lorary.pictures import exif
from lorary.pictures.faults import Broken, Fault

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Maximum number of chunks; they have several kilobytes, so no real picture has as many.
MAX_CHUNKS = 20_000

#: Chunks that a decoder needs for a still picture, and chunks with text.
PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})


def walk(data: bytes) -> Iterator[tuple[bytes, int, bytes, int]]:
    """Yield name, start, bytes and end of each chunk, up to IEND.

    The caller checks names, and what follows the last chunk.

    Raises:
        Broken: the file is damaged.
    """
    place = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        head = data[place : place + 8]
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        end = place + 12 + length
        if len(head) < 8 or end > len(data):
            raise Broken(Fault.CUT)
        if zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise Broken(Fault.CHANGED, name)
        yield name, place, data[place + 8 : end - 4], end
        if name == b"IEND":
            return
        place = end
    raise Broken(Fault.ENDLESS)


def text_of(name: bytes, body: bytes, room: int) -> tuple[str, str, int]:
    """Return keyword and text of a text chunk, and its length in bytes.

    Args:
        name: One of ``TEXTS``.
        body: The bytes of the chunk.
        room: Maximum number of bytes of the text, decompressed.

    Raises:
        Broken: ``TEXTS`` for more bytes, ``CHANGED`` if it cannot be decompressed.
    """
    keyword, _, rest = body.partition(b"\0")
    is_packed = name == b"zTXt"
    if is_packed:
        rest = rest[1:]
    elif name == b"iTXt":
        is_packed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1]  # language and translated keyword come first
    text = inflate(rest, room) if is_packed else rest
    if len(text) > room:
        raise Broken(Fault.TEXTS)
    return keyword[:80].decode("latin-1"), _decoded(text), len(text)


def texts_in(data: bytes, room: int) -> dict[str, str]:
    """Return the texts of a file by keyword, including those in its Exif.

    Args:
        room: Maximum number of bytes of all texts, decompressed.

    Raises:
        Broken: the file is damaged, or its texts are too large.
    """
    texts: dict[str, str] = {}
    of_exif: dict[str, str] = {}
    for name, _start, body, _end in walk(data):
        if name in TEXTS:
            keyword, text, length = text_of(name, body, room)
            room -= length
            texts.setdefault(keyword, text)
        elif name == b"eXIf":
            if len(body) > room:
                raise Broken(Fault.TEXTS)
            of_exif = exif.texts_of(body)
    return {**of_exif, **texts}


def inflate(packed: bytes, limit: int) -> bytes:
    """Return decompressed zlib data.

    Raises:
        Broken: ``TEXTS`` for more than ``limit`` bytes, ``CHANGED`` if it is not zlib.
    """
    try:
        plain = zlib.decompressobj().decompress(packed, limit + 1)
    except zlib.error as error:
        raise Broken(Fault.CHANGED) from error
    if len(plain) > limit:
        raise Broken(Fault.TEXTS)
    return plain


def _decoded(text: bytes) -> str:
    """Decode as UTF-8, which many tools write instead of Latin-1."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
