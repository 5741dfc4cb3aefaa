"""Encodes pictures at smaller widths, and as a tiny placeholder.

The same picture gives the same bytes: one thread, fixed quality, no metadata.
"""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image

#: Widths of thumbnails; a narrower picture keeps its own width.
WIDTHS = (256, 512, 1024)
#: The renderer never makes larger pictures.
MAX_PIXELS = 4096 * 4096
FORMATS = ("PNG", "JPEG", "WEBP")

#: AVIF keeps full colour resolution (4:4:4); WebP cannot, so its quality is higher.
_SAVING: dict[str, dict[str, Any]] = {
    "avif": {"quality": 70, "subsampling": "4:4:4", "speed": 8, "max_threads": 1},
    "webp": {"quality": 90, "method": 4, "use_sharp_yuv": True},
}
KINDS = tuple(_SAVING)

#: Longer side of the placeholder; the second is used if the first has more than 400 bytes.
BLUR = (16, 8)
MAX_BLUR = 400


class Unreadable(ValueError):
    """The bytes cannot be decoded as a picture."""


def opened(data: bytes) -> Image.Image:
    """Return the decoded picture in RGB; its size is checked before decoding.

    Raises:
        Unreadable: it is not a picture, damaged, or too large.
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


def offered(width: int, *, is_webp: bool = False) -> list[tuple[str, int]]:
    """Return the format and width of each thumbnail of a picture.

    Browsers take the first format that they support, so AVIF comes first. It saves nothing on
    pictures that are narrower than a thumbnail.

    Args:
        width: Width of the picture.
        is_webp: Whether the picture is a WebP, which already is a thumbnail in its own width.
    """
    widths = [one for one in WIDTHS if one < width]
    if width <= WIDTHS[-1] and not is_webp:
        widths.append(width)
    kinds = KINDS if width >= WIDTHS[0] else KINDS[1:]
    return [(kind, one) for kind in kinds for one in widths]


def encoded(picture: Image.Image, kind: str, width: int) -> bytes:
    """Return a picture in a format and width."""
    stream = io.BytesIO()
    _scaled(picture, width).save(stream, kind, **_SAVING[kind])
    return stream.getvalue()


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


def _scaled(picture: Image.Image, width: int) -> Image.Image:
    if width >= picture.width:
        return picture
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS)
