"""Looks of printed paper: few inks, lines, dots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.miniature.drawing.finish.tools import (
    BORDER,
    COLUMNS,
    RADIUS,
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
    hatching = 0.5 + 0.5 * np.cos(ROWS * 2 * np.pi / 16)
    light = np.clip((area - 0.06 - 0.62 * hatching) * 6 + 0.5, 0, 1)
    lines = ink(image, 1)
    carved = np.clip(ink(image, 4) - lines, 0, 1)
    light = np.maximum(light, 0.9 * carved) * (1 - lines)
    return picture(mix(color(30, 24, 30), color(244, 232, 202), light.astype(np.float32)))


def linocut(image: Image.Image) -> Image.Image:
    """Deep green and cream, with gouge marks in the dark."""
    area = _toned(blur(fill(image), 2))
    paper = np.clip((area - 0.3) * 2.4, 0, 1).astype(np.float32)
    marks = np.abs((ROWS + COLUMNS) % 32 - 16) < 3
    marks &= (COLUMNS - ROWS) % 32 < 18
    paper = np.maximum(paper, 0.6 * blur(marks.astype(np.float32), 1) * (1 - ink(image, 4)))
    printed = mix(color(8, 84, 62), color(246, 238, 212), paper.astype(np.float32))
    return picture(mix(printed, color(6, 52, 40), ink(image)))


def blueprint(image: Image.Image) -> Image.Image:
    """Pale shapes on Prussian blue, on squared paper."""
    light = contrast(gray(fill(image)), 0.04, 0.96)
    base = ramp(light, (16, 44, 120), (40, 92, 176), (120, 172, 226), (232, 244, 255))
    squared = np.where((COLUMNS % 32 < 3) | (ROWS % 32 < 3), 0.45, 0).astype(np.float32)
    base = mix(base, color(214, 232, 255), squared)
    return picture(mix(base, color(8, 22, 78), ink(image)))


def comic(image: Image.Image) -> Image.Image:
    """Strong colours with fat black lines and round dots in the middle tones."""
    area = saturate(blur(fill(image), 1.5), 1.7)
    light = gray(area)
    away = np.hypot((COLUMNS % 16) - 7.5, (ROWS % 16) - 7.5)
    radius = np.clip(7.4 - 6.4 * light, 0, 6.4)
    dots = np.clip(radius - away + 0.5, 0, 1) * (light < 0.93)
    paper = mix(area, color(255, 250, 226), 0.42)
    inked = mix(paper, (area * 0.82).astype(np.float32), dots.astype(np.float32))
    return picture(mix(inked, color(10, 8, 14), ink(image, 2)))


def poster(image: Image.Image) -> Image.Image:
    """Navy, plum, coral and cream instead of dark to bright, as on a travel poster."""
    light = contrast(gray(blur(fill(image), 1.5)), 0.04, 0.94)
    inks = ramp(
        light, (18, 26, 84), (124, 52, 112), (234, 98, 92), (255, 178, 112), (255, 242, 208)
    )
    return picture(mix(inks, color(18, 26, 84), ink(image)))


def vaporwave(image: Image.Image) -> Image.Image:
    """Indigo, magenta and pale pink instead of dark to bright, between fine dark lines."""
    light = contrast(gray(fill(image)), 0.05, 0.95)
    tinted = ramp(
        light, (34, 14, 110), (136, 36, 186), (240, 84, 190), (255, 176, 220), (255, 246, 255)
    )
    tinted = mix(tinted, color(40, 10, 96), ink(image))
    lines = np.where(ROWS % 4 < 1, 0.72, 1.0)[..., None]
    return picture(tinted * lines)


def vintage(image: Image.Image) -> Image.Image:
    """A brown photograph with dark corners and a cream margin."""
    light = contrast(gray(values(image)), 0.04, 0.96) ** 0.8
    toned = ramp(light, (46, 26, 14), (120, 78, 46), (196, 152, 104), (246, 226, 184))
    corner = RADIUS / 180
    toned = toned * (1 - 0.62 * np.clip(corner - 0.25, 0, 1))[..., None]
    margin = np.clip((15 - BORDER) / 1.5, 0, 1).astype(np.float32)
    line = np.clip(1 - np.abs(BORDER - 17) / 1.5, 0, 1).astype(np.float32)
    toned = mix(toned.astype(np.float32), color(70, 42, 24), 0.7 * line)
    return picture(mix(toned, color(244, 234, 210), margin))


def handheld(image: Image.Image) -> Image.Image:
    """The greens of a pocket console's screen, behind a grid of dots."""
    light = contrast(gray(values(image)), 0.02, 0.96)
    shown = ramp(light, (20, 54, 32), (52, 104, 52), (132, 168, 60), (194, 216, 110))
    gaps = np.where((COLUMNS % 16 < 2) | (ROWS % 16 < 2), 0.3, 0).astype(np.float32)
    return picture(mix(shown, color(206, 224, 142), gaps))


def noir(image: Image.Image) -> Image.Image:
    """Black and white with hard light and dark corners, as in an old crime film."""
    light = contrast(gray(values(image)), 0.2, 0.86)
    shown = ramp(light**1.15, (4, 4, 8), (250, 250, 246))
    corner = RADIUS / 180
    shown = shown * (1.04 - 0.9 * np.clip(corner - 0.3, 0, 1))[..., None]
    return picture(shown.astype(np.float32))


def night_vision(image: Image.Image) -> Image.Image:
    """Bright green on black in a round field of view."""
    light = contrast(gray(values(image)), 0.0, 0.95)
    shown = ramp(light, (0, 14, 4), (10, 84, 26), (64, 200, 72), (196, 255, 176))
    away = RADIUS / 128
    return picture((shown * np.clip(3.2 - 2.6 * away, 0, 1)[..., None]).astype(np.float32))
