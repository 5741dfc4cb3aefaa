"""The parsed parts of a picture file, and checks for several formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from previews.sample_files.formats import (
    HEAD_BYTES,
    MAX_PIXELS,
    MAX_SIDE,
    Refused,
    Why,
    named,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a picture file."""

    width: int  # in pixels from the header, like the height before rotation
    height: int
    picture: bytes  # bytes for the decoder
    texts: Mapping[str, str] = field(default_factory=dict)  # plain texts by keyword
    exif: bytes = b""  # TIFF structure, without a prefix
    icc: bytes = b""  # colour profile
    durations_ms: Sequence[int] = ()  # duration of each frame of an animation


def require_pixels(width: int, height: int, *, limit: int = MAX_PIXELS) -> None:
    """Raise ``Refused`` for a picture that is too large or has no pixels."""
    if width < 1 or height < 1:
        raise Refused(Why.DAMAGED)
    if width * height > limit or max(width, height) > MAX_SIDE:
        raise Refused(Why.PIXELS, width=width, height=height, megapixels=round(limit / 1e6))


def require_end(data: bytes, end: int) -> None:
    """Raise ``Refused`` for a file that is longer or shorter than its picture."""
    if end > len(data):
        raise Refused(Why.CUT)
    if end < len(data):
        raise Refused(Why.TRAILING, what=named(data[end : end + HEAD_BYTES]))
