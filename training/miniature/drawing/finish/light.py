"""Looks of light: they keep the drawing and its outlines and change what falls on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.miniature.drawing.finish.tools import (
    COLUMNS,
    ROWS,
    blur,
    color,
    contrast,
    glow_at,
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

_RAINBOW = (
    (255, 70, 70), (255, 176, 50), (240, 240, 70),
    (80, 230, 110), (60, 190, 255), (170, 90, 255),
)  # fmt: skip


def golden_hour(image: Image.Image) -> Image.Image:
    """Low orange sun from the right, with rays, and violet shadows on the left."""
    shown = values(image)
    light = contrast(gray(shown), 0.0, 0.95)
    warm = ramp(light, (64, 26, 60), (196, 84, 52), (255, 176, 84), (255, 240, 190))
    lit = mix(shown * color(255, 206, 150), warm, 0.6)
    far = np.hypot(COLUMNS - 270, ROWS - 96) / 300
    lit = lit * (1.16 - 0.55 * np.clip(far, 0, 1))[..., None]
    turn = np.arctan2(ROWS - 96, 270 - COLUMNS)
    rays = np.clip(np.cos(turn * 16), 0, 1) * np.clip(1 - far, 0, 1) * 0.34
    lit = mix(lit.astype(np.float32), color(255, 226, 140), rays.astype(np.float32))
    return picture(mix(lit, color(255, 244, 200), 0.9 * glow_at(270, 96, 150)))


def moonlight(image: Image.Image) -> Image.Image:
    """Deep blue night with a cold light from the upper left that catches the edges."""
    shown = values(image)
    light = contrast(gray(shown), 0.0, 1.0)
    blue = ramp(light, (4, 8, 30), (20, 44, 104), (66, 112, 178), (176, 214, 244))
    shown = mix(saturate(shown, 0.5) * color(110, 150, 220), blue, 0.8)
    moon = glow_at(20, 10, 250)
    shown = shown * (0.85 + 0.7 * moon)[..., None]
    rim = np.clip(np.roll(ink(image, 1), (3, 3), (0, 1)) - ink(image, 1), 0, 1)
    shown = mix(shown.astype(np.float32), color(210, 240, 255), (0.75 * rim).astype(np.float32))
    return picture(mix(shown, color(230, 244, 255), 0.8 * glow_at(14, 8, 76)))


def spotlight(image: Image.Image) -> Image.Image:
    """A cone of light from above on a black stage."""
    shown = saturate(values(image), 1.15)
    half = 26 + ROWS * 0.36
    cone = np.clip((half - np.abs(COLUMNS - 128)) / 30 + 0.5, 0, 1)
    pool = np.clip(1.5 - np.hypot((COLUMNS - 128) / 118, (ROWS - 226) / 44), 0, 1)
    lit = np.maximum(cone, pool)
    dark = shown * color(26, 22, 40)
    bright = mix(
        shown * np.float32(1.08), color(255, 246, 206), (0.3 * (1 - ROWS / 256)).astype(np.float32)
    )
    return picture(mix(dark, bright, blur(lit.astype(np.float32), 2)))


def aurora(image: Image.Image) -> Image.Image:
    """Green light from above over a scene in teal and violet."""
    shown = values(image)
    light = contrast(gray(shown), 0.0, 0.95)
    cold = ramp(light, (14, 10, 48), (62, 40, 128), (40, 140, 150), (140, 250, 196))
    shown = mix(shown * color(120, 150, 190), cold, 0.62)
    above = np.clip(1 - ROWS / 190, 0, 1)
    folds = 0.8 + 0.2 * np.cos(COLUMNS * 2 * np.pi / 32)
    glow = (0.62 * above**1.4 * folds).astype(np.float32)
    shown = mix(shown.astype(np.float32), color(96, 255, 170), glow)
    return picture(mix(shown, color(12, 14, 40), 0.8 * ink(image)))


def candlelight(image: Image.Image) -> Image.Image:
    """One warm light in the middle of a dark room."""
    away = np.hypot(COLUMNS - 128, (ROWS - 140) * 1.1) / 165
    falloff = np.clip(1.12 - away, 0, 1) ** 1.3
    lit = values(image) * color(255, 196, 116) * (0.08 + 1.2 * falloff)[..., None]
    return picture(mix(lit.astype(np.float32), color(255, 214, 130), 0.3 * glow_at(128, 150, 130)))


def neon(image: Image.Image) -> Image.Image:
    """Pink light from the left and turquoise light from the right, in a dark room."""
    side = (COLUMNS / 255).astype(np.float32)
    lamp = mix(color(255, 36, 170), color(16, 216, 255), side)
    shown = saturate(values(image), 0.5)
    light = contrast(gray(shown), 0.0, 1.0)[..., None]
    lit = mix(shown * lamp, lamp * light**1.2, 0.6)
    return picture(mix(lit * np.float32(1.35), color(14, 6, 40), 0.8 * ink(image)))


def prism(image: Image.Image) -> Image.Image:
    """The colours of the rainbow from left to right, as light through a prism."""
    across = ((COLUMNS + 0.4 * ROWS) / (255 * 1.4)).astype(np.float32)
    lamp = ramp(across, *_RAINBOW)
    shown = values(image)
    light = contrast(gray(shown), 0.0, 0.9)[..., None]
    return picture(mix(shown * lamp * np.float32(1.25), lamp * light, 0.5))
