"""Encodes pictures at smaller widths, and as a tiny placeholder.

The same picture gives the same bytes: one thread, fixed quality, no metadata.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

#: Widths of smaller forms; a narrower picture keeps its own width.
WIDTHS = (256, 512, 1024)
#: The renderer makes no larger pictures.
MAX_PIXELS = 4096 * 4096
FORMATS = ("PNG", "JPEG", "WEBP")

#: AVIF keeps full colour resolution (4:4:4); WebP cannot, so its quality is higher.
_SAVING: dict[str, dict[str, Any]] = {
    "avif": {"quality": 70, "subsampling": "4:4:4", "speed": 8, "max_threads": 1},
    "webp": {"quality": 90, "method": 4, "use_sharp_yuv": True},
}

#: Longer side of the placeholder; the second is used if the first has more than 400 bytes.
BLUR = (16, 8)
MAX_BLUR = 400


class Unreadable(ValueError):
    """The bytes cannot be decoded as a picture."""


@dataclass(frozen=True, slots=True)
class SmallerPicture:
    """A picture in another size; ``kind`` is ``avif`` or ``webp``."""

    kind: str
    width: int
    height: int
    data: bytes


def opened(data: bytes) -> Image.Image:
    """Return the decoded picture in RGB; its size is judged before a pixel is.

    Raises:
        Unreadable: no picture, broken, or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height <= MAX_PIXELS:
                return picture.convert("RGB")
            msg = f"{picture.width} x {picture.height} pixels are too many"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        msg = f"not a picture: {error}"
        raise Unreadable(msg) from error
    raise Unreadable(msg)


def smaller(picture: Image.Image, original_bytes: int) -> list[SmallerPicture]:
    """Return AVIF and WebP in up to three widths, without those larger than the original.

    A browser takes the first format it supports, so a format is made in all widths or none: AVIF is
    left out if WebP is smaller, and a narrow picture has only one format.
    """
    sizes = [_scaled(picture, width) for width in _widths(picture.width)]
    made = {kind: [_encoded(size, kind) for size in sizes] for kind in _SAVING}
    total = {kind: sum(len(one.data) for one in all_) for kind, all_ in made.items()}
    if total["avif"] >= total["webp"]:
        del made["avif"]
    elif picture.width < WIDTHS[0]:
        del made["webp"]
    return [one for all_ in made.values() for one in all_ if len(one.data) < original_bytes]


def placeholder(picture: Image.Image) -> str:
    """Return a tiny picture as a ``data:`` URL, at most 400 bytes."""
    address = ""
    for side in BLUR:
        tiny = picture.copy()
        tiny.thumbnail((side, side), Image.Resampling.BOX)
        stream = io.BytesIO()
        tiny.save(stream, "WEBP", quality=40, method=6)
        address = f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
        if len(address) <= MAX_BLUR:
            break
    return address


def _widths(own: int) -> list[int]:
    """Return the widths below the picture's own, and its own if it is not above them all."""
    below = [width for width in WIDTHS if width < own]
    return [*below, own] if own <= WIDTHS[-1] else below


def _scaled(picture: Image.Image, width: int) -> Image.Image:
    if width == picture.width:
        return picture
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _encoded(picture: Image.Image, kind: str) -> SmallerPicture:
    stream = io.BytesIO()
    picture.save(stream, kind, **_SAVING[kind])
    return SmallerPicture(kind, picture.width, picture.height, stream.getvalue())
