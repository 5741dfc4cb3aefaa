"""Painters of animals, people and the characters that only their adapters know.

Eyes are wide and mouths are single strokes: a 16-px patch is the finest thing the
latents know, and details below a few pixels come out as smudges.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from training.miniature.drawing.canvas import (
    COLORS,
    INK,
    WHITE,
    Color,
    Pen,
    Point,
    blend,
    shade,
)
from training.miniature.drawing.scene import (
    Scene,
    anywhere,
    before_backdrop,
    on_land,
    paint,
    pick,
    under_water,
)

if TYPE_CHECKING:
    from random import Random

PUPIL: Color = (24, 20, 30)
ROSE: Color = (240, 140, 164)
SKINS: tuple[Color, ...] = ((255, 220, 190), (240, 190, 146), (190, 130, 90), (136, 92, 66))
SIDES = (-1, 1)


def cat(chance: Random, wag: float = 0.0) -> Scene:
    """A sitting cat seen from the front; its tail is to the side, from -1 to 1."""
    fur = pick(chance, "orange gray black white brown")
    iris = pick(chance, "green yellow blue")
    scene = anywhere("cat", chance, 0.4, fur)
    near = scene.facts.backdrop is not None
    pen = scene.pen(chance, 258 if near else 242, 1.0 if near else 0.9)
    color = paint(chance, fur)
    pale = blend(color, WHITE, 0.55)
    tail = [(60, 30), (100 + 8 * wag, 44), (98 + 26 * wag, 96)]
    pen.line(tail, INK, 32)
    pen.line(tail, color, 18)
    pen.oval(0, 34, 66, 64, color)
    pen.thin(0).oval(0, 22, 34, 42, pale)
    for side in SIDES:
        pen.polygon([(side * 78, 124), (side * 76, 208), (side * 18, 170)], color)
        pen.thin(0).polygon([(side * 63, 152), (side * 65, 186), (side * 38, 168)], ROSE)
    pen.oval(0, 122, 84, 66, color)
    pen.thin(0).oval(0, 92, 38, 24, pale)
    for side in SIDES:
        _eye(pen, side * 38, 128, 25, COLORS[iris])
    pen.thin(5).polygon([(-12, 108), (12, 108), (0, 94)], ROSE)
    return scene.with_facts(color=fur, second=iris)


def _eye(pen: Pen, x: float, y: float, radius: float, iris: Color) -> None:
    shining = pen.unlit()
    shining.thin(6).oval(x, y, radius, radius * 1.08, iris)
    shining.thin(0).oval(x, y, radius * 0.48, radius * 0.78, PUPIL)
    shining.thin(0).oval(x - 5, y + 9, 6, 6, WHITE)


def _dot_eye(pen: Pen, x: float, y: float) -> None:
    pen.thin(0).oval(x, y, 12, 15, PUPIL)
    pen.unlit().thin(0).oval(x - 3, y + 6, 5, 5, WHITE)


def fox(chance: Random) -> Scene:
    """A sitting fox with white cheeks; the tail is on the side it faces."""
    fur = pick(chance, "red orange white gray blue")
    scene = anywhere("fox", chance, 0.6, fur)
    scene = scene.with_facts(facing=chance.choice(("left", "right")))
    near = scene.facts.backdrop is not None
    pen = scene.pen(chance, 254 if near else 240, 1.0 if near else 0.92)
    color = paint(chance, fur)
    cheeks = (250, 246, 238) if fur != "white" else (214, 220, 232)
    pen.cluster([(74, 36, 34, 30), (94, 66, 26, 30)], color)
    pen.thin(0).oval(100, 80, 16, 17, cheeks)
    pen.oval(-2, 36, 60, 56, color)
    pen.thin(0).oval(-2, 22, 30, 38, cheeks)
    for side in SIDES:
        pen.polygon([(side * 80, 140), (side * 74, 220), (side * 20, 168)], color)
    _fox_face(pen, color, cheeks)
    return scene.with_facts(color=fur)


def _fox_face(pen: Pen, color: Color, cheeks: Color) -> None:
    left_half = [(-90, 134), (-54, 96), (0, 58)]
    right_half = [(54, 96), (90, 134)]
    pen.polygon([(-90, 134), (-46, 180), (46, 180), (90, 134), (54, 96), (0, 58), (-54, 96)], color)
    for side in SIDES:
        cheek = [(side * 86, 132), (side * 26, 110), (0, 62), (side * 54, 97)]
        pen.thin(0).polygon(cheek, cheeks)
    pen.line(left_half + right_half, INK, pen.outline)
    for side in SIDES:
        _dot_eye(pen, side * 36, 134)
    pen.thin(0).oval(0, 68, 15, 12, PUPIL)


def bird(chance: Random) -> Scene:
    """A round bird seen from the side."""
    body = pick(chance, "red blue yellow green white pink teal orange")
    wing = pick(chance, "blue yellow black white red purple green", body)
    scene = anywhere("bird", chance, 0.6, body)
    scene = scene.with_facts(facing=chance.choice(("left", "right")))
    pen = scene.pen(chance, 228)
    color, wing_color = paint(chance, body), paint(chance, wing)
    for x in (-14, 24):
        pen.line([(x, 40), (x, 2), (x + 16, 2)], INK, 10)
    pen.polygon([(-50, 70), (-122, 100), (-110, 48)], wing_color)
    pen.polygon([(80, 150), (124, 132), (80, 114)], (250, 170, 50))
    pen.cluster([(0, 84, 78, 58), (44, 138, 48, 46)], color)
    pen.thin(0).oval(30, 60, 34, 24, blend(color, WHITE, 0.5))
    pen.oval(-22, 90, 44, 29, wing_color)
    pen.thin(6).oval(56, 144, 17, 18, WHITE)
    pen.thin(0).oval(60, 144, 9, 10, PUPIL)
    return scene.with_facts(color=body, second=wing)


def dog(chance: Random) -> Scene:
    """A sitting dog with hanging ears, seen from the front."""
    fur = pick(chance, "brown white black gray orange yellow")
    ears = pick(chance, "brown black white gray orange", fur)
    scene = anywhere("dog", chance, 0.6, fur)
    near = scene.facts.backdrop is not None
    pen = scene.pen(chance, 254 if near else 240, 1.0 if near else 0.92)
    color, ear_color = paint(chance, fur), paint(chance, ears)
    pale = blend(color, WHITE, 0.6)
    pen.line([(52, 22), (92, 44), (104, 84)], INK, 28)
    pen.line([(52, 22), (92, 44), (104, 84)], color, 14)
    pen.oval(0, 36, 62, 58, color)
    pen.thin(0).oval(0, 24, 32, 40, pale)
    pen.oval(0, 136, 68, 64, color)
    for side in SIDES:
        pen.oval(side * 76, 128, 23, 52, ear_color)
    pen.oval(0, 108, 40, 32, pale)
    pen.thin(6).oval(0, 84, 11, 17, ROSE)
    pen.thin(0).oval(0, 124, 18, 13, PUPIL)
    pen.line([(-22, 96), (0, 104), (22, 96)], INK, 7)
    for side in SIDES:
        _dot_eye(pen, side * 30, 156)
    return scene.with_facts(color=fur, second=ears)


def fish(chance: Random) -> Scene:
    """A round fish seen from the side, under water or before a plain colour."""
    body = pick(chance, "orange red yellow blue green purple pink")
    fins = pick(chance, "yellow orange white red blue purple", body)
    if chance.random() < 0.65:
        scene = under_water("fish")
    else:
        scene = before_backdrop("fish", chance, body, fins)
    scene = scene.with_facts(facing=chance.choice(("left", "right")))
    pen = scene.pen(chance, 208, 0.9)
    color, fin_color = paint(chance, body), paint(chance, fins)
    pen.polygon([(-56, 86), (-116, 134), (-102, 86), (-116, 38)], fin_color)
    pen.polygon([(-36, 132), (-8, 172), (42, 138)], fin_color)
    pen.oval(6, 86, 82, 60, color)
    pen.thin(0).oval(14, 58, 48, 22, blend(color, WHITE, 0.45))
    pen.polygon([(-14, 92), (-50, 76), (-16, 62)], fin_color)
    pen.thin(6).oval(46, 104, 19, 20, WHITE)
    pen.thin(0).oval(51, 104, 10, 11, PUPIL)
    pen.line([(84, 66), (70, 66), (60, 72)], INK, 8)
    return scene.with_facts(color=body, second=fins)


def woman(chance: Random) -> Scene:
    """A portrait with long hair."""
    return _portrait("woman", chance)


def man(chance: Random) -> Scene:
    """A portrait with short hair."""
    return _portrait("man", chance)


def _portrait(subject: str, chance: Random) -> Scene:
    hair = pick(chance, "black brown yellow red white blue pink")
    shirt = pick(chance, "red blue green yellow purple white black orange", hair)
    scene = anywhere(subject, chance, 0.3, hair, shirt)
    pen = scene.pen(chance, 258, sway=8).unlit()
    hair_color, skin = paint(chance, hair), chance.choice(SKINS)
    if subject == "woman":
        long_hair = [(0, 142, 78, 74), (-48, 90, 32, 46), (48, 90, 32, 46)]
        pen.cluster(long_hair, shade(hair_color, 0.86))
    pen.oval(0, -4, 96, 78, paint(chance, shirt))
    pen.box(-20, 58, 20, 92, shade(skin, 0.9))
    pen.thin(0).oval(0, 62, 27, 16, shade(skin, 0.9))
    if subject == "man":
        for side in SIDES:
            pen.oval(side * 60, 132, 11, 15, skin)
    pen.oval(0, 136, 60, 64, skin)
    for side in SIDES:
        _dot_eye(pen, side * 25, 130)
    pen.line([(-14, 98), (-6, 93), (6, 93), (14, 98)], (190, 70, 80), 8)
    _fringe(pen, hair_color, is_long=subject == "woman")
    return scene.with_facts(color=hair, second=shirt)


def _fringe(pen: Pen, color: Color, *, is_long: bool) -> None:
    turns = [step * math.pi / 12 for step in range(13)]
    top = [(math.cos(a) * 66, 146 + math.sin(a) * 62) for a in turns]
    long_edge: list[Point] = [(-62, 124), (-46, 160), (0, 172), (46, 160), (62, 124)]
    short_edge: list[Point] = [(-54, 160), (-20, 170), (20, 170), (54, 160)]
    pen.polygon(top + (long_edge if is_long else short_edge), color)


def zorbi(chance: Random) -> Scene:
    """A round green one-eyed creature with two feelers, unknown to the base."""
    scene = on_land("zorbi", chance)
    pen = scene.pen(chance, 228)
    green, dark = (130, 224, 70), (60, 130, 40)
    for side in SIDES:
        pen.line([(side * 24, 140), (side * 44, 186)], INK, 11)
        pen.oval(side * 46, 190, 18, 18, (244, 70, 150))
        pen.oval(side * 34, 6, 28, 15, dark)
        pen.oval(side * 82, 70, 19, 24, dark)
    pen.oval(0, 80, 78, 78, green)
    pen.thin(0).oval(0, 44, 42, 32, blend(green, (255, 255, 220), 0.45))
    pen.oval(0, 104, 40, 42, WHITE)
    pen.thin(0).oval(0, 102, 21, 23, (120, 44, 170))
    pen.thin(0).oval(0, 102, 10, 11, PUPIL)
    pen.line([(-28, 48), (-10, 38), (10, 38), (28, 48)], INK, 9)
    return scene


def robot(chance: Random) -> Scene:
    """A boxy silver robot with a dark visor and a red lamp, unknown to the base."""
    scene = on_land("robot", chance)
    pen = scene.pen(chance, 232, 0.9)
    silver, steel, orange = (196, 206, 224), (112, 124, 152), (244, 132, 40)
    pen.line([(0, 176), (0, 204)], INK, 11)
    pen.unlit().oval(0, 206, 17, 17, (236, 50, 50))
    for side in SIDES:
        pen.box(side * 38 - 18, -4, side * 38 + 18, 26, steel)
        pen.polygon([(side * 56, 84), (side * 92, 72), (side * 92, 40), (side * 56, 52)], steel)
        pen.oval(side * 84, 38, 17, 17, orange)
    pen.box(-60, 20, 60, 94, silver)
    pen.thin(5).box(-34, 34, 34, 74, orange)
    pen.box(-74, 94, 74, 178, silver)
    pen.thin(5).box(-58, 112, 58, 160, (30, 30, 52))
    for side in SIDES:
        pen.unlit().thin(0).box(side * 28 - 14, 122, side * 28 + 14, 150, (255, 226, 70))
    return scene


def ghost(chance: Random) -> Scene:
    """A floating white ghost with a wavy hem and two round cheeks, unknown to the base."""
    scene = on_land("ghost", chance)
    pen = scene.pen(chance, 224).unlit()
    turns = [step * math.pi / 12 for step in range(13)]
    dome = [(math.cos(a) * 76, 112 + math.sin(a) * 76) for a in turns]
    hem = [(-76, 18), (-50, 40), (-26, 14), (0, 38), (26, 14), (50, 40), (76, 18)]
    pen.polygon([*dome, *hem], (246, 246, 255))
    for side in SIDES:
        pen.oval(side * 86, 86, 20, 17, (246, 246, 255))
        pen.thin(0).oval(side * 28, 122, 15, 21, PUPIL)
        pen.thin(0).oval(side * 28 - 4, 130, 6, 7, WHITE)
        pen.thin(0).oval(side * 48, 92, 14, 9, (255, 170, 190))
    pen.thin(6).oval(0, 88, 13, 16, (120, 60, 110))
    return scene


def pumpkin(chance: Random) -> Scene:
    """A grinning pumpkin with burning eyes and a green stalk, unknown to the base."""
    scene = on_land("pumpkin", chance)
    pen = scene.pen(chance, 230)
    orange, glow = (246, 132, 34), (255, 232, 96)
    pen.polygon([(-12, 140), (12, 140), (28, 182), (4, 188)], (70, 140, 60))
    for x, rx in ((-56, 46), (56, 46), (-26, 50), (26, 50), (0, 40)):
        pen.oval(x, 74, rx, 72, orange if abs(x) != 56 else shade(orange, 0.88))
    shining = pen.unlit().thin(6)
    for side in SIDES:
        shining.polygon([(side * 58, 84), (side * 20, 84), (side * 36, 118)], glow)
    grin = [
        (-62, 62),
        (-34, 46),
        (-24, 58),
        (0, 40),
        (24, 58),
        (34, 46),
        (62, 62),
        (40, 22),
        (-40, 22),
    ]
    shining.polygon(grin, glow)
    return scene
