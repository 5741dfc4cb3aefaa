"""Parses JPEG files by their markers.

```
FFD8 | FFE1 length "Exif" … | FFE2 length "ICC_PROFILE" … | FFC0 length size … | FFDA … data | FFD9
```

Source: ITU-T T.81, Annex B.
"""

from __future__ import annotations

import re

from previews.sample_files.containers import Parts, require_end, require_pixels
from previews.sample_files.formats import Refused, Why

_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"
_SOS, _EOI = 0xDA, 0xD9
#: Start of frame: C0 to CF without C4 (tables), C8 (extension) and CC (arithmetic).
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: In data, FF is followed by 0, a restart (D0 to D7) or another FF; otherwise it starts a marker.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def take_apart(data: bytes) -> Parts:
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
