"""Videos as pictures: a contact sheet that is stored and shown, an animation beside it."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["animation", "contact_sheet"]

#: Frames of a contact sheet, spread evenly from the first to the last.
CELLS = 9
#: A frame is not wider than this in a sheet of several.
CELL_WIDTH = 384
#: Frames a second where a recipe says none.
FPS = 8
#: WebP's effort, 0 to 6, and quality; stated, since a library's default may move.
METHOD, QUALITY = 4, 80


def contact_sheet(frames: Sequence[Image.Image]) -> Image.Image:
    """Return up to nine frames as a grid, row by row; a single one as it is."""
    if len(frames) == 1:
        return frames[0]
    count = min(CELLS, len(frames))
    chosen = [frames[round(cell * (len(frames) - 1) / (count - 1))] for cell in range(count)]
    columns = math.ceil(math.sqrt(count))
    width = min(CELL_WIDTH, frames[0].width)
    height = round(frames[0].height * width / frames[0].width)
    sheet = Image.new("RGB", (columns * width, math.ceil(count / columns) * height))
    for cell, frame in enumerate(chosen):
        place = (cell % columns * width, cell // columns * height)
        sheet.paste(frame.convert("RGB").resize((width, height), Image.Resampling.LANCZOS), place)
    return sheet


def animation(frames: Sequence[Image.Image], fps: int) -> bytes:
    """Return an endless animated WebP; empty for a single frame."""
    if len(frames) == 1:
        return b""
    first, *rest = (frame.convert("RGB") for frame in frames)
    stream = io.BytesIO()
    first.save(
        stream, "WEBP", save_all=True, append_images=rest, loop=0,
        duration=round(1000 / (fps or FPS)), method=METHOD, quality=QUALITY,
    )  # fmt: skip
    return stream.getvalue()
