"""Looks of things that a picture can be made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.miniature.drawing.finish.tools import (
    COLUMNS,
    ROWS,
    blocks,
    blur,
    color,
    fill,
    ink,
    mix,
    picture,
    saturate,
)

if TYPE_CHECKING:
    from PIL import Image


def mosaic(image: Image.Image) -> Image.Image:
    """Square stones with bright and dark sides, in strong colours between pale joints."""
    stones = saturate(blocks(image, 16), 1.5)
    x, y = COLUMNS % 16, ROWS % 16
    bevel = np.where((x < 4) | (y < 4), 1.22, np.where((x > 12) | (y > 12), 0.74, 1.0))
    joint = ((x < 2) | (y < 2)).astype(np.float32)
    return picture(mix((stones * bevel[..., None]).astype(np.float32), color(38, 34, 44), joint))


def pixel(image: Image.Image) -> Image.Image:
    """Big square pixels in clear colours."""
    return picture(saturate(blocks(image, 8), 1.3))


def knit(image: Image.Image) -> Image.Image:
    """Rows of woollen stitches."""
    wool = saturate(blocks(image, 8), 1.1)
    x, y = np.abs((COLUMNS % 32) - 15.5), (ROWS - np.abs((COLUMNS % 32) - 15.5) * 0.9) % 16
    thread = 0.5 + 0.5 * np.cos((y - 7.5) * 2 * np.pi / 16)
    side = np.clip(np.minimum(x, 16 - x) / 2.8, 0.25, 1)
    return picture(wool * (0.5 + 0.62 * thread * side)[..., None])


def glass(image: Image.Image) -> Image.Image:
    """Jewel colours that shine in the middle of diamond panes, between thick leads."""
    area = saturate(fill(image), 1.9)
    size = 32
    rising, falling = (COLUMNS + ROWS) % size, (COLUMNS - ROWS) % size
    away = np.minimum.reduce([rising, size - rising, falling, size - falling]) / np.sqrt(2)
    shine = 0.62 + 0.62 * np.clip(away / 10, 0, 1)
    panes = (area * shine[..., None] + 0.05).astype(np.float32)
    thin = np.clip(2.2 - away, 0, 1)
    lead = np.maximum(thin, ink(image, 3)).astype(np.float32)
    edge = np.clip(blur(lead, 1.6) - lead, 0, 1) * 1.2
    panes = mix(panes, color(255, 255, 240), (0.4 * edge).astype(np.float32))
    return picture(mix(panes, color(16, 14, 22), lead))
