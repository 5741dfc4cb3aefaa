"""A still picture: decoded, upright, in sRGB, at most 2,048 pixels a side, encoded again."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from PIL import Image, ImageCms

from previews.sample_files import jpeg, png, webp
from previews.sample_files.formats import Format, Refused, Why

if TYPE_CHECKING:
    from pathlib import Path

    from previews.sample_files.containers import Parts

__all__ = ["decode", "placeholder", "save", "smaller", "take_apart", "upright"]

#: Longest side of what is served.
SERVED_SIDE = 2048
QUALITY = 90
#: Longest side of what lists show, twice the pixels of their width.
SMALL_SIDE = 640
FEW_COLOURS = 256

TINY_SIDE, TINY_QUALITY = 16, 30

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TAKE_APART = {
    Format.PNG: png.take_apart,
    Format.JPEG: jpeg.take_apart,
    Format.WEBP: webp.take_apart,
}


def take_apart(kind: Format, data: bytes) -> Parts:
    """Measure a picture and separate what lies in its file.

    Raises:
        Refused: it is not sound, or too large.
    """
    return _TAKE_APART[kind](data)


def decode(kind: Format, parts: Parts) -> Image.Image:
    """Return the picture as people see it, in RGB or RGBA, of the size that is served.

    Raises:
        Refused: it cannot be decoded, or is not of the size that its header says.
    """
    try:
        with Image.open(io.BytesIO(parts.picture), formats=[kind.upper()]) as picture:
            if picture.size != (parts.width, parts.height):
                raise Refused(Why.DAMAGED)
            picture.draft("RGB", (SERVED_SIDE, SERVED_SIDE))  # JPEG only: decodes to a fraction
            shown = _plain(picture)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Refused(Why.DAMAGED) from error
    shown.thumbnail((SERVED_SIDE, SERVED_SIDE), Image.Resampling.LANCZOS)
    return upright(_in_srgb(shown, parts.icc), parts.exif)


def _plain(picture: Image.Image) -> Image.Image:
    """Return pixels of a mode that can be resized and that colour management knows."""
    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        return picture.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture.convert(picture.mode if picture.mode in {"L", "CMYK"} else "RGB")


def _in_srgb(picture: Image.Image, icc: bytes) -> Image.Image:
    """Convert from the picture's own colours; a profile that does not fit is left aside."""
    if picture.mode == "RGBA":
        opacity = picture.getchannel("A")
        colours = _in_srgb(picture.convert("RGB"), icc)
        if opacity.getextrema() != (255, 255):
            colours.putalpha(opacity)
        return colours
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(picture, profile, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None
        if converted is not None:
            return converted
    return picture.convert("RGB")


def upright(picture: Image.Image, exif: bytes) -> Image.Image:
    """Turn or mirror a picture as its Exif says."""
    said = Image.Exif()
    try:
        said.load(exif)
        turn = _TURNS.get(said.get(_ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError):
        turn = None
    return picture if turn is None else picture.transpose(turn)


def save(picture: Image.Image, file: Path) -> None:
    """Write a picture as WebP without metadata.

    Drawings of few colours are written without loss where that is smaller: it is sharper too.
    """
    picture.info.clear()
    packed = _encoded(picture, quality=QUALITY)
    if picture.getcolors(FEW_COLOURS) is not None:
        packed = min(_encoded(picture, lossless=True), packed, key=len)
    file.write_bytes(packed)


def smaller(picture: Image.Image) -> Image.Image | None:
    """Return the picture as lists show it, None where it is small enough."""
    if max(picture.size) <= SMALL_SIDE:
        return None
    small = picture.copy()
    small.thumbnail((SMALL_SIDE, SMALL_SIDE), Image.Resampling.LANCZOS)
    return small


def placeholder(picture: Image.Image) -> str:
    """Return a picture of a few pixels as a data address, to be shown until the real one is."""
    tiny = picture.copy()
    tiny.thumbnail((TINY_SIDE, TINY_SIDE), Image.Resampling.BOX)
    packed = _encoded(tiny, quality=TINY_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(packed).decode()


def _encoded(picture: Image.Image, **options: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "WEBP", method=4, **options)
    return stream.getvalue()
