"""Looks of printed paper: few inks, lines, dots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.miniature.drawing.finish.tools import (
    BORDER,
    COLUMNS,
    ROWS,
    Floats,
    blur,
    color,
    contrast,
    fill,
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


def _toned(area: Floats) -> Floats:
    light = gray(area)
    low, high = np.percentile(light, 5), np.percentile(light, 95)
    return contrast(light, float(low), float(high) + 0.05)


def woodcut(image: Image.Image) -> Image.Image:
    """Black ink on cream paper, hatched in the middle tones."""
    area = _toned(blur(fill(image), 1.5))
    hatching = 0.5 + 0.5 * np.cos(ROWS * 2 * np.pi / 8)
    light = np.clip((area - 0.06 - 0.62 * hatching) * 6 + 0.5, 0, 1)
    lines = ink(image, 1)
    carved = np.clip(ink(image, 4) - lines, 0, 1)
    light = np.maximum(light, 0.9 * carved) * (1 - lines)
    return picture(mix(color(30, 24, 30), color(244, 232, 202), light.astype(np.float32)))


def linocut(image: Image.Image) -> Image.Image:
    """Deep green and cream, with white cut lines and gouge marks in the dark."""
    area = _toned(blur(fill(image), 2))
    dark = 1 - np.clip((area - 0.52) * 60 + 0.5, 0, 1)
    lines = ink(image)
    printed = np.where(lines > 0.5, 1 - dark, dark)
    marks = (np.abs((ROWS + COLUMNS) % 16 - 8) < 1.2) & ((COLUMNS - ROWS) % 16 < 8)
    printed = np.where(marks & (dark > 0.9) & (ink(image, 5) < 0.1), 0.25, printed)
    printed = blur(printed.astype(np.float32), 0.7)
    return picture(mix(color(244, 238, 214), color(8, 84, 62), printed))


def blueprint(image: Image.Image) -> Image.Image:
    """White lines on Prussian blue, on squared paper."""
    base = mix(color(14, 48, 128), color(52, 104, 186), 0.75 * gray(fill(image)))
    minor = (COLUMNS % 8 < 1) | (ROWS % 8 < 1)
    major = (COLUMNS % 32 < 2) | (ROWS % 32 < 2)
    squared = np.where(major, 0.34, np.where(minor, 0.13, 0)).astype(np.float32)
    base = mix(base, color(170, 205, 255), squared)
    return picture(mix(base, color(240, 247, 255), ink(image)))


def comic(image: Image.Image) -> Image.Image:
    """Strong colours with fat black lines and round dots in the middle tones."""
    area = saturate(blur(fill(image), 1.5), 1.7)
    light = gray(area)
    away = np.hypot((COLUMNS % 8) - 3.5, (ROWS % 8) - 3.5)
    radius = np.clip(3.4 - 3.2 * light, 0, 3.2)
    dots = np.clip(radius - away + 0.5, 0, 1) * (light < 0.93)
    paper = mix(area, color(255, 250, 226), 0.42)
    inked = mix(paper, (area * 0.82).astype(np.float32), dots.astype(np.float32))
    return picture(mix(inked, color(10, 8, 14), ink(image, 2)))


def poster(image: Image.Image) -> Image.Image:
    """Six flat colours of a travel poster."""
    palette = np.array(
        [
            (24, 44, 82),
            (30, 132, 140),
            (226, 78, 54),
            (244, 178, 66),
            (250, 238, 212),
            (122, 70, 60),
        ],
        np.float32,
    )
    area = saturate(blur(fill(image), 2.2), 1.3) * 255
    away = ((area[:, :, None] - palette) ** 2 @ (np.array([0.3, 0.59, 0.3], np.float32))).argmin(-1)
    flat = palette[away] / np.float32(255)
    flat = blur(flat.astype(np.float32), 0.8)
    return picture(mix(flat, palette[0] / np.float32(255), ink(image)))


def vaporwave(image: Image.Image) -> Image.Image:
    """Indigo, magenta and cyan instead of dark, middle and bright, between fine dark lines."""
    light = contrast(gray(fill(image)), 0.05, 0.95)
    tinted = ramp(
        light, (44, 12, 110), (150, 30, 190), (255, 70, 180), (255, 160, 190), (90, 236, 255)
    )
    tinted = mix(tinted, color(40, 10, 96), ink(image))
    lines = np.where(ROWS % 4 < 1, 0.72, 1.0)[..., None]
    return picture(tinted * lines)


def vintage(image: Image.Image) -> Image.Image:
    """A brown photograph with dark corners and a cream margin."""
    light = contrast(gray(values(image)), 0.04, 0.96) ** 0.8
    toned = ramp(light, (46, 26, 14), (120, 78, 46), (196, 152, 104), (246, 226, 184))
    corner = np.hypot(COLUMNS - 127.5, ROWS - 127.5) / 180
    toned = toned * (1 - 0.62 * np.clip(corner - 0.25, 0, 1))[..., None]
    margin = np.clip((15 - BORDER) / 1.5, 0, 1).astype(np.float32)
    line = np.clip(1 - np.abs(BORDER - 17) / 1.5, 0, 1).astype(np.float32)
    toned = mix(toned.astype(np.float32), color(70, 42, 24), 0.7 * line)
    return picture(mix(toned, color(244, 234, 210), margin))


def handheld(image: Image.Image) -> Image.Image:
    """Four greens on the square dots of a pocket console's screen."""
    shades = np.array([(22, 60, 34), (58, 108, 56), (134, 168, 62), (190, 212, 106)], np.float32)
    few = gray(values(image.resize((64, 64)).resize((256, 256), 0)))
    weave = np.where(((ROWS // 4 + COLUMNS // 4) % 2) > 0, 0.07, -0.07)
    level = np.clip((few + weave) * 4.2 - 0.1, 0, 3.99).astype(int)
    shown = shades[level] / np.float32(255)
    gaps = np.where((COLUMNS % 4 < 1) | (ROWS % 4 < 1), 0.22, 0).astype(np.float32)
    return picture(mix(shown.astype(np.float32), color(204, 222, 140), gaps))
