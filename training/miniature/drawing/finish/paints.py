"""Looks of a hand that paints or draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.miniature.drawing.finish.tools import (
    BORDER,
    COLUMNS,
    ROWS,
    blur,
    clouds,
    color,
    contrast,
    fill,
    grain,
    gray,
    ink,
    mix,
    picture,
    ramp,
    saturate,
    values,
)

if TYPE_CHECKING:
    from PIL import Image

_WASH = clouds(6, 1)
_PAPER = grain(3, 32, 16)
_CHALK = grain(4, 32, 20)


def watercolor(image: Image.Image) -> Image.Image:
    """Pale uneven washes with brown outlines, which fade into the paper at the borders."""
    area = 1 - (1 - saturate(blur(fill(image), 1.5), 1.3)) * np.float32(0.62)
    uneven = 1 - (1 - area) * (0.85 + 0.5 * _WASH)[..., None]
    wash = mix(uneven.astype(np.float32), color(112, 78, 70), 0.7 * ink(image))
    paper = mix(color(253, 250, 242), color(236, 229, 214), 0.5 + _PAPER)
    return picture(mix(paper, wash, np.clip((BORDER - 4) / 44, 0, 1).astype(np.float32)))


def pastel(image: Image.Image) -> Image.Image:
    """Light chalky colours with soft outlines."""
    area = 1 - (1 - saturate(blur(values(image), 0.8), 1.15)) * np.float32(0.5)
    chalk = area + 0.17 * _CHALK[..., None]
    return picture(chalk.astype(np.float32))


def charcoal(image: Image.Image) -> Image.Image:
    """Black strokes on white paper that the drawing does not quite fill."""
    area = contrast(gray(blur(fill(image), 2)), 0.0, 0.85)
    strokes = 0.5 + 0.5 * np.cos((COLUMNS + ROWS) * 2 * np.pi / 16)
    dark = (1 - area) * (0.4 + 0.45 * strokes) + 0.35 * _CHALK * (1 - area)
    dark = np.maximum(dark, ink(image, 1) * (0.92 + 0.3 * _CHALK))
    dark = dark * np.clip((BORDER - 6 + 26 * clouds(12, 8)) / 20, 0, 1)
    paper = color(250, 248, 243) - np.float32(0.05) * (0.5 + _PAPER)[..., None]
    return picture(mix(paper, color(28, 26, 28), np.clip(dark, 0, 1).astype(np.float32)))


def gold(image: Image.Image) -> Image.Image:
    """Black, bronze and gold instead of dark to bright, with a pattern of diamonds."""
    light = contrast(gray(fill(image)), 0.05, 0.95)
    leaf = ramp(light, (14, 9, 10), (74, 40, 16), (168, 108, 30), (236, 182, 76), (255, 238, 176))
    away = np.abs(COLUMNS % 32 - 15.5) + np.abs(ROWS % 32 - 15.5)
    damask = np.clip(2.6 - np.abs(away - 9), 0, 1) * 0.4
    leaf = mix(leaf, color(255, 226, 140), damask.astype(np.float32))
    return picture(mix(leaf, color(10, 7, 8), ink(image)))


def papercut(image: Image.Image) -> Image.Image:
    """Layers of coloured paper with white edges and soft shadows."""
    edges = ink(image)
    shadow = blur(np.roll(ink(image, 2), (7, 6), (0, 1)), 4)
    area = saturate(fill(image), 1.05) * (1 + 0.08 * _PAPER)[..., None]
    area = area * (1 - 0.5 * shadow)[..., None]
    return picture(mix(area.astype(np.float32), color(255, 255, 255), edges))


def fire(image: Image.Image) -> Image.Image:
    """Scarlet and gold from black to white, with flames rising from below."""
    warmth = contrast(gray(fill(image)), 0.06, 0.92)
    heat = ramp(warmth, (26, 4, 12), (120, 10, 20), (222, 38, 24), (252, 120, 24), (255, 214, 84))
    heat = mix(heat, color(26, 4, 12), ink(image))
    tongue = np.abs((COLUMNS % 32) - 16) / 16
    other = np.abs(((COLUMNS + 16) % 32) - 16) / 16
    for peak, height, tint in (
        (tongue, 74, color(255, 122, 20)),
        (other, 52, color(255, 178, 40)),
        (tongue, 34, color(255, 238, 150)),
    ):
        top = 256 - height * (1 - peak) ** 1.3 - 12
        heat = mix(heat, tint, np.clip((ROWS - top) / 3, 0, 1).astype(np.float32))
    return picture(heat)


def xray(image: Image.Image) -> Image.Image:
    """Light for dark, in the cold blue of an X-ray film, with shining outlines."""
    light = 1 - contrast(gray(values(image)), 0.1, 1)
    lines = ink(image)
    shine = np.clip(0.62 * light**1.3 + 0.55 * blur(lines, 5) + 0.5 * lines, 0, 1)
    return picture(
        ramp(shine.astype(np.float32), (4, 8, 16), (26, 60, 92), (110, 180, 214), (240, 252, 255))
    )
