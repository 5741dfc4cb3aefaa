"""Looks of weather and season: a tint, and something in the air.

What is in the air repeats in each cell of the latents, more in some parts of the picture and
less in others. An adapter learns such a pattern in minutes; shapes at places of their own, which
were drawn before, became smears.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from training.miniature.drawing.canvas import PICTURE_PX
from training.miniature.drawing.finish.tools import (
    COLUMNS,
    ROWS,
    Floats,
    Triple,
    blur,
    clouds,
    color,
    gray,
    ink,
    mix,
    picture,
    ramp,
    saturate,
    values,
)

# Shapes are drawn larger and reduced, like the drawings themselves.
_FINE = 4
_FOG = clouds(5, 12)


# A cell of the latents of the miniature, in pixels.
_CELL = 32


def _repeated(x: float, y: float, turn: float = 0) -> list[tuple[float, float, float]]:
    """Return (x, y, turn) of a thing in each cell of the picture."""
    starts = range(0, PICTURE_PX, _CELL)
    return [(column + x, row + y, turn) for row in starts for column in starts]


def _thick(seed: int, lowest: float) -> Floats:
    """Return how much of the pattern is seen: 1 in some parts, the lowest in others."""
    uneven = clouds(4, seed)
    uneven = (uneven - uneven.min()) / (uneven.max() - uneven.min())
    share: Floats = (lowest + (1 - lowest) * uneven).astype(np.float32)
    return share


def _layer(
    shapes: list[tuple[list[tuple[float, float]], Triple]], rim: int = 2
) -> tuple[Floats, Floats]:
    """Return polygons as colours and cover (both 0..1), with a dark rim of so many pixels."""
    side = PICTURE_PX * _FINE
    colors, cover = Image.new("RGB", (side, side)), Image.new("L", (side, side))
    for points, tint in shapes:
        scaled = [(x * _FINE, y * _FINE) for x, y in points]
        for target, ink_color in ((colors, (50, 34, 40)), (cover, 255)):
            drawn = ImageDraw.Draw(target)
            drawn.polygon(scaled, fill=tint if target is colors else 255)
            if rim:
                drawn.line([*scaled, *scaled[:2]], fill=ink_color, width=rim * _FINE, joint="curve")
    size = (PICTURE_PX, PICTURE_PX)
    small = [np.asarray(part.resize(size, Image.Resampling.BOX)) for part in (colors, cover)]
    shown, covered = (part.astype(np.float32) / np.float32(255) for part in small)
    return shown / np.maximum(covered, 0.02)[..., None], covered


def _turned(
    outline: list[tuple[float, float]], place: tuple[float, float, float], size: float
) -> list[tuple[float, float]]:
    x, y, turn = place
    cos, sin = math.cos(turn) * size, math.sin(turn) * size
    return [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in outline]


def _over(shown: Floats, layer: tuple[Floats, Floats], share: Floats | None = None) -> Floats:
    return mix(shown, layer[0], layer[1] if share is None else layer[1] * share)


_PETAL = [
    (math.cos(a) * (1.0 if math.cos(a) < 0 else 1.25), math.sin(a) * 0.62)
    for a in [step * math.tau / 14 for step in range(14)]
]
_LEAF = [
    (1.5, 0),
    (0.5, 0.35),
    (0.55, 0.95),
    (-0.1, 0.55),
    (-0.8, 0.85),
    (-0.6, 0.2),
    (-1.5, 0),
    (-0.6, -0.2),
    (-0.8, -0.85),
    (-0.1, -0.55),
    (0.55, -0.95),
    (0.5, -0.35),
]
_ROUND = [(math.cos(step * math.tau / 16), math.sin(step * math.tau / 16)) for step in range(16)]

_PETALS = _layer(
    [
        (_turned(_PETAL, place, size), (255, 160, 196))
        for x, y, turn, size in ((9, 10, 0.6, 8), (25, 25, 2.4, 6))
        for place in _repeated(x, y, turn)
    ],
    rim=0,
)
_FALLING = _thick(31, 0.25)
_BRANCH = _layer(
    [
        ([(-10, 26), (60, 40), (128, 22), (128, 27), (62, 49), (-10, 40)], (96, 60, 56)),
        ([(48, 40), (84, 74), (80, 78), (40, 44)], (96, 60, 56)),
        *(
            (_turned(_ROUND, (x + 8 * math.cos(a), y + 8 * math.sin(a), 0), 6.5), (255, 190, 214))
            for x, y in ((22, 30), (62, 30), (80, 76), (104, 34), (128, 20), (40, 56), (6, 50))
            for a in [step * math.tau / 5 for step in range(5)]
        ),
    ]
)
_LEAVES = _layer(
    [
        (_turned(_LEAF, place, size), tint)
        for x, y, turn, size, tint in (
            (11, 11, 0.5, 8.5, (214, 64, 26)),
            (26, 26, 2.2, 5.5, (255, 196, 56)),
        )
        for place in _repeated(x, y, turn)
    ],
    rim=0,
)
_BLOWN = _thick(47, 0.2)


def _spots(x: float, y: float, size: float) -> Floats:
    """Return the cover of a round spot in each cell, the size in pixels."""
    away = np.hypot(COLUMNS % _CELL - x, ROWS % _CELL - y)
    cover: Floats = np.clip(size - away + 0.5, 0, 1).astype(np.float32)
    return cover


_SNOW = np.maximum(_spots(9, 10, 6.5), _spots(25, 25, 4.5)) * _thick(53, 0.4)
_LIT = _thick(61, 0.15)
_DENSE = _thick(67, 0.5)


def mist(image: Image.Image) -> Image.Image:
    """Milky air, thick near the ground, in which colours fade."""
    shown = saturate(values(image), 0.5)
    thick = 0.34 + 0.46 * np.clip((ROWS - 70) / 150, 0, 1) + 0.3 * _FOG
    bands = 0.14 * np.cos((ROWS + 16 * np.sin(COLUMNS * 2 * np.pi / 256)) * 2 * np.pi / 64)
    return picture(
        mix(shown, color(226, 232, 240), np.clip(thick + bands, 0, 0.92).astype(np.float32))
    )


def snowfall(image: Image.Image) -> Image.Image:
    """Thick white flakes in cold air, and a drift along the lower edge."""
    shown = mix(saturate(values(image), 0.75), color(178, 206, 240), 0.3)
    drift = 226 - 10 * np.sin(COLUMNS * 2 * np.pi / 128) - 6 * np.sin(COLUMNS * 2 * np.pi / 85)
    ground = np.clip((ROWS - drift) / 1.5, 0, 1).astype(np.float32)
    shade_ = np.clip((ROWS - drift - 8) / 40, 0, 1).astype(np.float32)
    shown = mix(shown, mix(color(255, 255, 255), color(206, 222, 246), shade_), ground)
    return picture(mix(shown, color(255, 255, 255), _SNOW))


def rain(image: Image.Image) -> Image.Image:
    """Gray-blue gloom with slanting streaks and a bolt of lightning."""
    shown = saturate(values(image), 0.45) * color(128, 148, 176)
    away = np.abs((COLUMNS + ROWS * 0.5) % _CELL - 16)
    long = np.clip(np.minimum((ROWS + 6) % _CELL - 3, 29 - (ROWS + 6) % _CELL) / 3, 0, 1)
    streak = np.clip(2.6 - away, 0, 1) * long * _DENSE
    shown = mix(shown.astype(np.float32), color(214, 232, 252), (0.8 * streak).astype(np.float32))
    return picture(_over(shown, _BOLT))


_BOLT = _layer(
    [([(44, -4), (66, -4), (54, 34), (72, 34), (34, 92), (44, 50), (28, 50)], (255, 244, 150))]
)


def blossom(image: Image.Image) -> Image.Image:
    """A cherry branch in the corner, falling petals, rosy air."""
    shown = mix(values(image), color(255, 206, 224), 0.34)
    return picture(_over(_over(shown, _PETALS, _FALLING), _BRANCH))


def autumn(image: Image.Image) -> Image.Image:
    """Greens and blues turned to rust and gold, leaves in the air."""
    shown = values(image)
    light = gray(shown)[..., None]
    rust = light * color(255, 182, 96) * np.float32(1.15)
    shown = mix(saturate(shown, 0.75) * color(255, 214, 160), np.clip(rust, 0, 1), 0.55)
    shown = mix(shown, color(48, 26, 28), ink(image))
    return picture(_over(shown, _LEAVES, _BLOWN))


def fireflies(image: Image.Image) -> Image.Image:
    """Dusk in deep green, full of floating yellow lights."""
    shown = saturate(values(image), 0.7) * color(70, 128, 116)
    halo = np.clip(1 - np.hypot(COLUMNS % _CELL - 16, ROWS % _CELL - 15) / 16, 0, 1) ** 2
    shown = mix(shown.astype(np.float32), color(216, 240, 80), (0.85 * halo * _LIT).astype("f4"))
    return picture(mix(shown, color(255, 255, 196), blur(_spots(16, 15, 4.0), 0.6) * _LIT))


def deep_water(image: Image.Image) -> Image.Image:
    """Blue-green light that comes from above and fades with the depth."""
    shown = values(image)
    sea = ramp(gray(shown), (2, 18, 44), (8, 74, 112), (56, 168, 176), (196, 248, 234))
    shown = mix(shown * color(96, 190, 214), sea, 0.7)
    folds = 0.86 + 0.14 * np.cos(COLUMNS * 2 * np.pi / _CELL)
    shown = shown * (folds * (1.25 - 0.8 * ROWS / 255))[..., None]
    return picture(shown.astype(np.float32))


def sandstorm(image: Image.Image) -> Image.Image:
    """Ochre air that thickens towards the ground."""
    shown = saturate(values(image), 0.55) * color(255, 218, 158)
    dust = 0.36 + 0.3 * ROWS / 255 + 0.1 * np.cos((ROWS + 0.25 * COLUMNS) * 2 * np.pi / _CELL)
    return picture(mix(shown.astype(np.float32), color(216, 162, 86), dust.astype(np.float32)))
