"""Reads the segments of an untrusted JPEG by their markers.

```
FFD8 | FFE1 length "Exif" … | FFE2 length "ICC_PROFILE" … | FFC0 length size … | FFDA … data | FFD9
```

Source: ITU-T T.81, Annex B.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lorary.pictures.faults import Broken, Fault

EXIF = b"Exif\0\0"
#: Start of scan, after which the data of the picture follow, and end of image.
SOS, EOI = 0xDA, 0xD9
#: In data, FF is followed by 0, a restart (D0 to D7) or another FF; otherwise it starts a marker.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def walk(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, bytes and end of each segment, up to the end of the image.

    Raises:
        Broken: the file is incomplete or damaged.
    """
    place = 2
    while True:
        marker, place = _marker(data, place)
        if marker == EOI:
            yield marker, b"", place
            return
        length = int.from_bytes(data[place : place + 2], "big")
        body, place = data[place + 2 : place + length], place + length
        if length < 2 or place > len(data):
            raise Broken(Fault.CUT)
        yield marker, body, place
        if marker == SOS:
            found = _MARKER.search(data, place)
            if found is None:
                raise Broken(Fault.CUT)
            place = found.start()


def exif_in(data: bytes) -> bytes:
    """Return the Exif of a file, a TIFF structure; empty if there is none.

    Raises:
        Broken: the file is incomplete or damaged before its picture.
    """
    for marker, body, _end in walk(data):
        if marker == SOS:
            break
        if body.startswith(EXIF):
            return body.removeprefix(EXIF)
    return b""


def _marker(data: bytes, place: int) -> tuple[int, int]:
    """Return the code and the end of a marker; any number of FF may precede it."""
    while data[place : place + 2] == b"\xff\xff":
        place += 1
    head = data[place : place + 2]
    if len(head) < 2:
        raise Broken(Fault.CUT)
    if head[0] != 0xFF:
        raise Broken(Fault.CHANGED)
    return head[1], place + 2
