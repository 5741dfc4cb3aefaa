"""Looks of weather and season: a tint, and something in the air at fixed places."""

from __future__ import annotations

import math
from random import Random

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
    glow_at,
    gray,
    ink,
    mix,
    picture,
    saturate,
    values,
)

# Shapes are drawn larger and reduced, like the drawings themselves.
_FINE = 4
_FOG = clouds(5, 12)


def _places(seed: int, columns: int, rows: int) -> list[tuple[float, float, float]]:
    """Return (x, y, turn) of things strewn evenly: one in each cell of a grid."""
    chance = Random(seed)  # noqa: S311 - pictures, not secrets
    wide, high = PICTURE_PX / columns, PICTURE_PX / rows
    return [
        (
            (column + chance.uniform(0.2, 0.8)) * wide,
            (row + chance.uniform(0.2, 0.8)) * high,
            chance.uniform(0, math.tau),
        )
        for row in range(rows)
        for column in range(columns)
    ]


def _layer(shapes: list[tuple[list[tuple[float, float]], Triple]]) -> tuple[Floats, Floats]:
    """Return polygons as colours and cover (both 0..1), with a dark rim to each."""
    side = PICTURE_PX * _FINE
    colors, cover = Image.new("RGB", (side, side)), Image.new("L", (side, side))
    for points, tint in shapes:
        scaled = [(x * _FINE, y * _FINE) for x, y in points]
        for target, ink_color in ((colors, (50, 34, 40)), (cover, 255)):
            drawn = ImageDraw.Draw(target)
            drawn.polygon(scaled, fill=tint if target is colors else 255)
            drawn.line([*scaled, *scaled[:2]], fill=ink_color, width=2 * _FINE, joint="curve")
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


def _over(shown: Floats, layer: tuple[Floats, Floats]) -> Floats:
    return mix(shown, layer[0], layer[1])


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

_PETALS = _layer([(_turned(_PETAL, place, 7), (255, 176, 206)) for place in _places(31, 4, 5)])
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
        (_turned(_LEAF, place, 9), ((232, 92, 34), (250, 168, 40), (190, 44, 36))[index % 3])
        for index, place in enumerate(_places(47, 4, 4))
    ]
)


def _flakes() -> Floats:
    cover = np.zeros((PICTURE_PX, PICTURE_PX), np.float32)
    for index, (x, y, _) in enumerate(_places(53, 6, 6)):
        size = (7.0, 4.5, 5.5)[index % 3]
        away = np.hypot(COLUMNS - x, ROWS - y)
        cover = np.maximum(cover, np.clip(size - away + 0.5, 0, 1))
    return cover


_SNOW = _flakes()
_LIGHTS = [(x, y) for x, y, _ in _places(61, 4, 5)]


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
    x, y = (COLUMNS + ROWS * 0.5) % 16, (ROWS + 8 * ((COLUMNS + ROWS * 0.5) // 16 % 2)) % 32
    streak = np.clip(1.5 - np.abs(x - 8), 0, 1) * (y < 17)
    shown = mix(shown.astype(np.float32), color(206, 226, 248), (0.75 * streak).astype(np.float32))
    return picture(_over(shown, _BOLT))


_BOLT = _layer(
    [([(44, -4), (66, -4), (54, 34), (72, 34), (34, 92), (44, 50), (28, 50)], (255, 244, 150))]
)


def blossom(image: Image.Image) -> Image.Image:
    """A cherry branch in the corner, falling petals, rosy air."""
    shown = mix(values(image), color(255, 206, 224), 0.34)
    return picture(_over(_over(shown, _PETALS), _BRANCH))


def autumn(image: Image.Image) -> Image.Image:
    """Greens and blues turned to rust and gold, leaves in the air."""
    shown = values(image)
    light = gray(shown)[..., None]
    rust = light * color(255, 182, 96) * np.float32(1.15)
    shown = mix(saturate(shown, 0.75) * color(255, 214, 160), np.clip(rust, 0, 1), 0.55)
    shown = mix(shown, color(48, 26, 28), ink(image))
    return picture(_over(shown, _LEAVES))


def fireflies(image: Image.Image) -> Image.Image:
    """Dusk in deep green, full of floating yellow lights."""
    shown = saturate(values(image), 0.7) * color(70, 128, 116)
    halo = np.zeros((PICTURE_PX, PICTURE_PX), np.float32)
    core = halo.copy()
    for x, y in _LIGHTS:
        halo = np.maximum(halo, glow_at(x, y, 30))
        core = np.maximum(core, np.clip(4.6 - np.hypot(COLUMNS - x, ROWS - y), 0, 1))
    shown = mix(shown.astype(np.float32), color(216, 240, 80), 0.8 * halo)
    return picture(mix(shown, color(255, 255, 196), blur(core, 0.6)))
