"""Reads the chunks of an untrusted WebP.

```
"RIFF" u32 LE length "WEBP" | VP8X | ICCP | ANIM | ANMF … or VP8 or VP8L | EXIF | XMP
            every chunk: 4 letters, u32 LE length, bytes, a pad byte after an odd length
```

Source: https://developers.google.com/speed/webp/docs/riff_container
"""

from __future__ import annotations

from collections.abc import Iterator

from lorary.pictures.faults import Broken, Fault

_EXIF = b"Exif\0\0"


def walk(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and bytes of each chunk, up to the end of the data.

    Raises:
        Broken: the file is incomplete.
    """
    place = 12
    while place < len(data):
        name, length = (
            data[place : place + 4],
            int.from_bytes(data[place + 4 : place + 8], "little"),
        )
        end = place + 8 + length
        if end > len(data):
            raise Broken(Fault.CUT)
        yield name, data[place + 8 : end]
        place = end + length % 2


def exif_in(data: bytes) -> bytes:
    """Return the Exif of a file, a TIFF structure; empty if there is none.

    Raises:
        Broken: the file is incomplete.
    """
    return next((body.removeprefix(_EXIF) for name, body in walk(data) if name == b"EXIF"), b"")
