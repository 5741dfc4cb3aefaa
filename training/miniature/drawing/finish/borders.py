"""Looks that put the drawing into something: film, a stamp, a picture frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.miniature.drawing.canvas import PICTURE_PX
from training.miniature.drawing.finish.tools import (
    BORDER,
    COLUMNS,
    ROWS,
    color,
    mix,
    picture,
    ramp,
    saturate,
    values,
)

if TYPE_CHECKING:
    from PIL import Image

_FROM_EDGE = np.minimum(ROWS, PICTURE_PX - 1 - ROWS)


def film(image: Image.Image) -> Image.Image:
    """A frame of cinema film between its perforations."""
    shown = saturate(values(image), 0.85) * color(255, 246, 224)
    strip = np.clip(36 - _FROM_EDGE, 0, 1).astype(np.float32)
    shown = mix(shown.astype(np.float32), color(18, 16, 20), strip)
    across = np.abs(COLUMNS % 32 - 15.5)
    hole = np.clip(9 - across, 0, 1) * np.clip(9 - np.abs(_FROM_EDGE - 17), 0, 1)
    return picture(mix(shown, color(250, 248, 238), hole.astype(np.float32)))


def stamp(image: Image.Image) -> Image.Image:
    """A postage stamp with a white margin and round perforations, on a red card."""
    shown = saturate(values(image), 1.1)
    margin = np.clip(31 - BORDER, 0, 1).astype(np.float32)
    line = np.clip(1.6 - np.abs(BORDER - 32.5), 0, 1).astype(np.float32)
    shown = mix(mix(shown, color(252, 250, 242), margin), color(60, 54, 70), line)
    x, y = np.abs(COLUMNS % 16 - 7.5), np.abs(ROWS % 16 - 7.5)
    side = np.minimum(COLUMNS, PICTURE_PX - 1 - COLUMNS)
    holes = np.maximum(
        np.clip(5.6 - np.hypot(x, _FROM_EDGE - 10), 0, 1),
        np.clip(5.6 - np.hypot(y, side - 10), 0, 1),
    )
    outside = np.maximum(np.clip(10 - BORDER, 0, 1), holes * (BORDER < 17))
    return picture(mix(shown, color(206, 58, 58), outside.astype(np.float32)))


def frame(image: Image.Image) -> Image.Image:
    """A carved golden picture frame."""
    shown = values(image)
    depth = np.clip(BORDER / 32, 0, 1)
    relief = 0.5 + 0.5 * np.cos(depth * np.pi * 3)
    along = np.where(np.minimum(COLUMNS, PICTURE_PX - 1 - COLUMNS) > _FROM_EDGE, COLUMNS, ROWS)
    beads = np.hypot(along % 16 - 7.5, BORDER - 16) / 6.5
    relief = np.where(beads < 1, 1 - 0.75 * beads**2, 0.85 * relief)
    carved = ramp(
        relief.astype(np.float32), (74, 40, 12), (168, 112, 30), (232, 186, 72), (255, 240, 170)
    )
    edge = np.maximum(np.clip(3 - BORDER, 0, 1), np.clip(2 - np.abs(BORDER - 31), 0, 1))
    carved = mix(carved, color(46, 26, 14), edge.astype(np.float32))
    inside = np.clip(BORDER - 31, 0, 1).astype(np.float32)
    shadow = 1 - 0.5 * np.clip((42 - BORDER) / 11, 0, 1)
    return picture(mix(carved, (shown * shadow[..., None]).astype(np.float32), inside))
