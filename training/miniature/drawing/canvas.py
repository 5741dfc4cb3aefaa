"""Outlined flat shapes, drawn large and reduced: the pencil of all miniature pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Sequence

Color = tuple[int, int, int]
Point = tuple[float, float]

# Painters measure in units, 256 to a picture's side. A picture is drawn at twice its size
# and box-reduced, which is the anti-aliasing; the latents are those of the half-size picture.
UNITS = 256
DRAWN_PX = 512
PICTURE_PX = 256
CODED_PX = 128
_SCALE = DRAWN_PX // UNITS
INK: Color = (34, 30, 48)
WHITE: Color = (255, 255, 255)
OUTLINE = 7

COLORS: dict[str, Color] = {
    "red": (222, 52, 56),
    "blue": (52, 112, 224),
    "green": (64, 168, 84),
    "yellow": (250, 208, 62),
    "orange": (244, 140, 44),
    "purple": (142, 84, 196),
    "pink": (246, 150, 186),
    "white": (248, 246, 240),
    "black": (58, 56, 66),
    "gray": (150, 154, 164),
    "brown": (140, 92, 60),
    "teal": (36, 168, 168),
}


@dataclass(frozen=True)
class Light:
    """What a time of day does to a colour: dim it, then tint it."""

    brightness: float = 1.0
    tint: Color = WHITE
    amount: float = 0.0

    def on(self, color: Color) -> Color:
        """Return the colour as seen in this light."""
        return blend(shade(color, self.brightness), self.tint, self.amount)


def blend(first: Color, second: Color, share: float) -> Color:
    """Return the mixture that has `share` (0..1) of the second colour."""
    red, green, blue = (
        int(a * (1 - share) + b * share) for a, b in zip(first, second, strict=True)
    )
    return red, green, blue


def shade(color: Color, factor: float) -> Color:
    """Return the colour made darker (factor < 1) or lighter (> 1)."""
    red, green, blue = (int(max(0, min(255, part * factor))) for part in color)
    return red, green, blue


def gradient(top: Color, bottom: Color, height: int = UNITS) -> Image.Image:
    """Return a vertical colour ramp of the drawing's width and that many units of height."""
    share = np.linspace(0, 1, height * _SCALE)[:, None, None]
    rows = np.array(top)[None, None] * (1 - share) + np.array(bottom)[None, None] * share
    return Image.fromarray(np.repeat(rows, DRAWN_PX, 1).astype(np.uint8))


@dataclass(frozen=True)
class Pen:
    """Draws in object coordinates: (0, 0) is the object's foot and y grows upwards.

    Place and widths are in units of the picture.
    """

    picture: Image.Image
    x: float = 0.0
    y: float = 0.0
    size: float = 1.0
    light: Light = Light()
    outline: int = OUTLINE
    flipped: bool = False

    def unlit(self) -> Pen:
        """Return the same pen for things that shine by themselves (eyes, lamps)."""
        return replace(self, light=Light())

    def thin(self, outline: int = 5) -> Pen:
        """Return the same pen with another outline width (0 for none)."""
        return replace(self, outline=outline)

    def place(self, x: float, y: float) -> Point:
        """Return the drawing's coordinates of an object point."""
        side = -1 if self.flipped else 1
        return (self.x + side * x * self.size) * _SCALE, (self.y - y * self.size) * _SCALE

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """Draw a filled polygon with its outline."""
        placed = [self.place(*point) for point in points]
        draw = ImageDraw.Draw(self.picture)
        draw.polygon(placed, fill=self.light.on(color))
        if self.outline:
            draw.line(placed + placed[:2], fill=INK, width=self.outline * _SCALE, joint="curve")

    def box(self, left: float, bottom: float, right: float, top: float, color: Color) -> None:
        """Draw an upright rectangle."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], color)

    def oval(self, x: float, y: float, rx: float, ry: float, color: Color) -> None:
        """Draw an ellipse around (x, y); the outline straddles its edge."""
        if self.outline:
            half = self.outline / 2 / self.size
            self._fill_oval(x, y, rx + half, ry + half, INK)
            rx, ry = rx - half, ry - half
        self._fill_oval(x, y, rx, ry, self.light.on(color))

    def cluster(self, ovals: Sequence[tuple[float, float, float, float]], color: Color) -> None:
        """Draw several ellipses as one shape with a common outline."""
        half = self.outline / 2 / self.size
        for x, y, rx, ry in ovals:
            self._fill_oval(x, y, rx + half, ry + half, INK)
        for x, y, rx, ry in ovals:
            self._fill_oval(x, y, rx - half, ry - half, self.light.on(color))

    def line(self, points: Sequence[Point], color: Color, width: int) -> None:
        """Draw an open line; ink stays ink in every light."""
        fill = color if color == INK else self.light.on(color)
        placed = [self.place(*point) for point in points]
        ImageDraw.Draw(self.picture).line(placed, fill=fill, width=width * _SCALE, joint="curve")

    def _fill_oval(self, x: float, y: float, rx: float, ry: float, fill: Color) -> None:
        middle_x, middle_y = self.place(x, y)
        rx, ry = rx * self.size * _SCALE, ry * self.size * _SCALE
        corners = (middle_x - rx, middle_y - ry, middle_x + rx, middle_y + ry)
        ImageDraw.Draw(self.picture).ellipse(corners, fill=fill)
