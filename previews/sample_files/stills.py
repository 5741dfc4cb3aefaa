"""Decodes still pictures and encodes them as WebP: upright, in sRGB, at most 2,048 pixels."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image, ImageCms

from previews.sample_files import jpeg, png, webp
from previews.sample_files.containers import Parts
from previews.sample_files.formats import Format, Refused, Why

#: Maximum side of a served picture.
SERVED_SIDE = 2048
QUALITY = 90
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
    """Parse a picture.

    Raises:
        Refused: it is damaged or too large.
    """
    return _TAKE_APART[kind](data)


def decode(kind: Format, parts: Parts) -> Image.Image:
    """Return the picture as viewers show it, in RGB or RGBA, in the size to serve.

    Raises:
        Refused: it cannot be decoded, or its header has another size.
    """
    try:
        with Image.open(io.BytesIO(parts.picture), formats=[kind.upper()]) as picture:
            if picture.size != (parts.width, parts.height):
                raise Refused(Why.DAMAGED)
            picture.draft(
                "RGB", (SERVED_SIDE, SERVED_SIDE)
            )  # JPEG only: decodes at a lower resolution
            shown = _plain(picture)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Refused(Why.DAMAGED) from error
    shown.thumbnail((SERVED_SIDE, SERVED_SIDE), Image.Resampling.LANCZOS)
    return upright(_in_srgb(shown, parts.icc), parts.exif)


def _plain(picture: Image.Image) -> Image.Image:
    """Return the picture in a mode that can be resized and colour-managed."""
    if picture.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
        return picture.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture.convert(picture.mode if picture.mode in {"L", "CMYK"} else "RGB")


def _in_srgb(picture: Image.Image, icc: bytes) -> Image.Image:
    """Convert to sRGB; an unsuitable profile is ignored."""
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
    """Return a picture in the orientation from its Exif."""
    exif_data = Image.Exif()
    try:
        exif_data.load(exif)
        turn = _TURNS.get(exif_data.get(_ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError):
        turn = None
    return picture if turn is None else picture.transpose(turn)


def save(picture: Image.Image, file: Path) -> None:
    """Write a WebP without metadata, lossless if there are few colours and that is smaller."""
    picture.info.clear()
    packed = _encoded(picture, quality=QUALITY)
    if picture.getcolors(FEW_COLOURS) is not None:
        packed = min(_encoded(picture, lossless=True), packed, key=len)
    file.write_bytes(packed)


def placeholder(picture: Image.Image) -> str:
    """Return a tiny picture as a ``data:`` URL, shown while the picture loads."""
    tiny = picture.copy()
    tiny.thumbnail((TINY_SIDE, TINY_SIDE), Image.Resampling.BOX)
    packed = _encoded(tiny, quality=TINY_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(packed).decode()


def _encoded(picture: Image.Image, **options: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "WEBP", method=4, **options)
    return stream.getvalue()
