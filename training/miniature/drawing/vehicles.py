"""Painters of what moves over land and through the air."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from training.miniature.drawing.canvas import INK, WHITE, Color, blend, shade
from training.miniature.drawing.scene import Scene, anywhere, on_land, paint, pick
from training.miniature.drawing.things import WOOD

if TYPE_CHECKING:
    from random import Random

WINDOW: Color = (180, 222, 244)


def car(chance: Random) -> Scene:
    """A small car seen from the side."""
    name = pick(chance, "red blue yellow green white orange pink teal")
    scene = anywhere("car", chance, 0.8, name)
    scene = scene.with_facts(facing=chance.choice(("left", "right")))
    pen, color = scene.pen(chance, 226), paint(chance, name)
    cabin = [(-66, 78), (-46, 132), (26, 132), (56, 78)]
    pen.polygon(cabin, color)
    pen.thin(6).polygon([(-48, 80), (-36, 118), (-14, 118), (-14, 80)], WINDOW)
    pen.thin(6).polygon([(0, 80), (0, 118), (20, 118), (38, 80)], WINDOW)
    body = [(-106, 28), (-104, 68), (-80, 82), (62, 82), (96, 70), (108, 54), (106, 28)]
    pen.polygon(body, color)
    pen.unlit().thin(5).oval(94, 56, 11, 11, (255, 236, 140))
    pen.thin(0).box(-20, 58, -2, 64, shade(color, 0.7))
    for x in (-58, 58):
        pen.oval(x, 24, 30, 30, (64, 62, 74))
        pen.thin(0).oval(x, 24, 13, 13, (206, 210, 220))
    return scene.with_facts(color=name)


def balloon(chance: Random) -> Scene:
    """A hot-air balloon with a broad stripe, high above the ground."""
    name = pick(chance, "red blue yellow green purple orange pink teal")
    stripe = pick(chance, "white yellow red blue orange purple", name)
    scene = on_land("balloon", chance)
    pen = scene.pen(chance, 208)
    color, stripe_color = paint(chance, name), paint(chance, stripe)
    for x in (-1, 1):
        pen.line([(x * 16, 34), (x * 44, 78)], INK, 6)
    pen.box(-22, 0, 22, 36, WOOD)
    pen.line([(-18, 22), (18, 22)], shade(WOOD, 0.75), 6)
    pen.polygon(_envelope(1.0), color)
    pen.polygon(_envelope(0.42), stripe_color)
    return scene.with_facts(color=name, second=stripe)


def _envelope(width: float) -> list[tuple[float, float]]:
    turns = [math.radians(angle) for angle in range(-35, 216, 10)]
    rim = [(math.cos(turn) * 78 * width, 124 + math.sin(turn) * 68) for turn in turns]
    return [*rim, (-24 * width, 54), (24 * width, 54)]


def rocket(chance: Random) -> Scene:
    """A rocket with a round window, its fire below it."""
    name = pick(chance, "white red blue yellow gray green orange")
    fins = pick(chance, "red blue orange purple black green", name)
    scene = anywhere("rocket", chance, 0.7, name, fins)
    pen = scene.pen(chance, 222)
    color, fin_color = paint(chance, name), paint(chance, fins)
    pen.unlit().polygon([(-24, 42), (0, -12), (24, 42)], (255, 170, 50))
    pen.unlit().thin(0).polygon([(-10, 38), (0, 10), (10, 38)], (255, 236, 130))
    for side in (-1, 1):
        pen.polygon([(side * 32, 92), (side * 74, 44), (side * 70, 28), (side * 26, 44)], fin_color)
    hull = [(-28, 42), (-42, 90), (-34, 142), (0, 198), (34, 142), (42, 90), (28, 42)]
    pen.polygon(hull, color)
    pen.polygon([(-34, 142), (0, 198), (34, 142)], fin_color)
    pen.thin(6).oval(0, 106, 22, 22, WINDOW)
    pen.thin(0).oval(-6, 113, 7, 7, blend(WINDOW, WHITE, 0.7))
    return scene.with_facts(color=name, second=fins)
