"""Reads the chunks of an untrusted PNG.

```
signature | IHDR | tEXt, zTXt, iTXt, iCCP, eXIf, … | IDAT … | IEND
            every chunk: u32 BE length, 4 letters, bytes, CRC-32 of letters and bytes
```

Source: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from enum import Enum

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Maximum number of chunks; they have several kilobytes, so no real picture has as many.
MAX_CHUNKS = 20_000

#: Chunks that a decoder needs for a still picture, and chunks with text.
PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})


class Fault(Enum):
    """The file is incomplete, a checksum differs, or there are too many chunks."""

    CUT = "cut"
    CHANGED = "changed"
    ENDLESS = "endless"


class Broken(ValueError):
    """The chunks cannot be read; ``name`` is the chunk with a wrong checksum."""

    def __init__(self, why: Fault, name: bytes = b"") -> None:
        super().__init__(why.value)
        self.why, self.name = why, name


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
