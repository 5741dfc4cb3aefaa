"""The chunks of a PNG of anybody, one after the other; whoever reads them says what is refused.

```
signature | IHDR | tEXt, zTXt, iTXt, iCCP, eXIf, … | IDAT … | IEND
            every chunk: u32 BE length, 4 letters, bytes, CRC-32 of letters and bytes
```

Source: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import zlib
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_CHUNKS", "PICTURE", "SIGNATURE", "TEXTS", "Broken", "Fault", "walk"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Encoders cut a picture into pieces of several kilobytes; this many are no picture.
MAX_CHUNKS = 20_000

#: What a decoder needs of a still picture, and where texts are.
PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})


class Fault(Enum):
    """A file ends within a chunk, a chunk does not fit its checksum, or there is no end of them."""

    CUT = "cut"
    CHANGED = "changed"
    ENDLESS = "endless"


class Broken(ValueError):
    """Chunks cannot be told apart; ``name`` is of the one that was changed."""

    def __init__(self, why: Fault, name: bytes = b"") -> None:
        super().__init__(why.value)
        self.why, self.name = why, name


def walk(data: bytes) -> Iterator[tuple[bytes, int, bytes, int]]:
    """Yield each chunk's letters, start, bytes and end; the last one is IEND.

    What the letters are, and what follows the last chunk, is for the caller to judge.

    Raises:
        Broken: see there.
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
