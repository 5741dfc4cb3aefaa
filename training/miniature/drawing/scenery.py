"""Skies, grounds, sea and plain backdrops behind the subjects.

Everything here is fixed once its name is chosen: the sun is always on the right, the
cloud on the left, the stars at the same places. A model that sees a few hundred
thousand pictures learns fixed scenery and smears scenery drawn at random.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image

from training.miniature.drawing.canvas import (
    COLORS,
    DRAWN_PX,
    INK,
    OUTLINE,
    UNITS,
    WHITE,
    Color,
    Light,
    Pen,
    blend,
    gradient,
    shade,
)

if TYPE_CHECKING:
    from random import Random

TIMES = ("morning", "day", "sunset", "night")
GROUNDS: dict[str, Color] = {
    "meadow": (112, 190, 92),
    "snow": (238, 244, 252),
    "desert": (232, 196, 128),
    "field": (214, 178, 70),
}
BACKDROPS = (
    "red",
    "blue",
    "green",
    "yellow",
    "orange",
    "purple",
    "pink",
    "white",
    "gray",
    "teal",
)
LIGHTS = {
    "morning": Light(1.0, (255, 225, 190), 0.06),
    "day": Light(),
    "sunset": Light(0.92, (255, 140, 90), 0.14),
    "night": Light(0.7, (60, 80, 180), 0.18),
}
LAND_HORIZON = 160
SEA_HORIZON = 144

_SKIES: dict[str, tuple[Color, Color]] = {
    "morning": ((150, 208, 246), (255, 222, 178)),
    "day": ((74, 160, 236), (206, 236, 252)),
    "sunset": ((140, 78, 160), (255, 166, 84)),
    "night": (((16, 20, 56)), (56, 70, 140)),
}
_STARS = ((26, 30), (66, 66), (104, 22), (132, 60), (164, 26), (236, 96), (22, 110))
_TUFTS = ((30, 196), (214, 204), (70, 236), (176, 240))
_WAVES = ((30, 176), (214, 184), (60, 222), (190, 234))


def vary(color: Color, chance: Random, by: float = 4.0) -> Color:
    """Return the colour moved by at most `by` levels in each channel."""
    red, green, blue = (int(max(0, min(255, part + chance.uniform(-by, by)))) for part in color)
    return red, green, blue


def land(time: str, ground: str) -> Image.Image:
    """Draw a sky of that time over a rounded piece of ground."""
    picture = _sky(time, LAND_HORIZON)
    pen = Pen(picture, y=0, light=LIGHTS[time])
    rim = ground_rim()
    pen.polygon([*rim, (UNITS + 20, -UNITS - 20), (-20, -UNITS - 20)], GROUNDS[ground])
    for x, y in _TUFTS:
        _tuft(pen, ground, x, -y)
    return picture


def ground_rim() -> list[tuple[float, float]]:
    """Return the upper edge of the ground, for pens placed at the picture's corner."""
    return [
        (float(x), -(LAND_HORIZON + 6 - 8 * math.sin(x / UNITS * math.pi)))
        for x in range(-16, UNITS + 24, 8)
    ]


def sea(time: str) -> Image.Image:
    """Draw a sky of that time over the sea."""
    picture = _sky(time, SEA_HORIZON)
    pen = Pen(picture, light=LIGHTS[time])
    pen.box(-20, -UNITS - 20, UNITS + 20, -SEA_HORIZON, (58, 140, 204))
    for x, y in _WAVES:
        crest = [(x + step, -y + (6 if step % 22 else 0)) for step in (-22, -11, 0, 11, 22)]
        pen.line(crest, (186, 224, 246), 6)
    return picture


def deep() -> Image.Image:
    """Draw the bottom of the sea with two weeds and three bubbles."""
    picture = gradient((92, 200, 222), (28, 96, 164))
    pen = Pen(picture)
    pen.box(-20, -UNITS - 20, UNITS + 20, -226, (232, 206, 146))
    for x, height in ((28, 96), (226, 72)):
        bends = (0, 10, 0, -10, 0)
        weed = [(x + bend, height * step / 4 - 232) for step, bend in enumerate(bends)]
        pen.line(weed, INK, 19)
        pen.line(weed, (60, 160, 96), 11)
    for x, y, radius in ((204, 40, 11), (222, 84, 8), (50, 52, 9)):
        pen.thin(4).oval(x, -y, radius, radius, (206, 240, 248))
    return picture


def backdrop(color: str, chance: Random) -> Image.Image:
    """Draw a plain background of one colour, a little lighter at the top."""
    base = vary(COLORS[color], chance)
    return gradient(blend(base, WHITE, 0.16), shade(base, 0.92))


def _sky(time: str, horizon: int) -> Image.Image:
    high, low = _SKIES[time]
    picture = Image.new("RGB", (DRAWN_PX, DRAWN_PX), low)
    picture.paste(gradient(high, low, horizon), (0, 0))
    pen = Pen(picture, outline=OUTLINE - 1)
    if time == "night":
        for x, y in _STARS:
            pen.thin(0).oval(x, -y, 5, 5, (250, 246, 220))
        pen.oval(208, -46, 27, 27, (250, 244, 214))
        pen.thin(0).oval(219, -40, 18, 18, blend(high, low, 0.2))
    elif time == "day":
        pen.oval(210, -44, 27, 27, (255, 226, 84))
        pen.cluster([(28, -50, 20, 14), (52, -40, 24, 20), (78, -50, 20, 14)], WHITE)
    elif time == "morning":
        pen.oval(212, 44 - horizon, 27, 27, (255, 238, 170))
        cloud = [(36, -50, 20, 14), (60, -42, 24, 19), (86, -50, 20, 14)]
        pen.cluster(cloud, (255, 244, 236))
    else:
        pen.oval(204, 14 - horizon, 38, 38, (255, 96, 70))
    return picture


def _tuft(pen: Pen, ground: str, x: float, y: float) -> None:
    color = GROUNDS[ground]
    if ground == "meadow":
        pen.line([(x - 10, y + 8), (x, y), (x + 8, y + 10)], shade(color, 0.76), 6)
    elif ground == "desert":
        dune = [(x - 22, y), (x - 8, y + 5), (x + 8, y), (x + 22, y + 4)]
        pen.line(dune, shade(color, 0.84), 6)
    elif ground == "field":
        for step in (-12, 0, 12):
            pen.line([(x + step, y - 6), (x + step, y + 14)], shade(color, 0.76), 6)
    else:
        pen.thin(0).oval(x, y, 20, 6, (214, 226, 242))


__all__ = [
    "BACKDROPS",
    "GROUNDS",
    "INK",
    "LAND_HORIZON",
    "LIGHTS",
    "SEA_HORIZON",
    "TIMES",
    "backdrop",
    "deep",
    "ground_rim",
    "land",
    "sea",
    "vary",
]
