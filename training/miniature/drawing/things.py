"""Painters of landscapes, buildings, boats and plants."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from training.miniature.drawing.canvas import (
    COLORS,
    INK,
    UNITS,
    WHITE,
    Color,
    Pen,
    blend,
    shade,
)
from training.miniature.drawing.scene import (
    Scene,
    anywhere,
    at_sea,
    before_backdrop,
    on_land_at,
    paint,
    pick,
)
from training.miniature.drawing.scenery import GROUNDS, LIGHTS, TIMES, ground_rim

if TYPE_CHECKING:
    from random import Random

WOOD: Color = (128, 84, 54)
LAMP: Color = (255, 226, 110)


def mountains(chance: Random) -> Scene:
    """Two snow-capped peaks behind the ground."""
    time, ground = chance.choice(TIMES), chance.choice(list(GROUNDS))
    scene = on_land_at("mountains", time, ground)
    name = pick(chance, "blue purple gray green brown red")
    pen, color = scene.pen(chance, 162), paint(chance, name)
    for x, height, width in ((74, 92, 90), (-52, 134, 104)):
        _peak(pen, color, x, height, width)
    front = Pen(scene.picture, light=LIGHTS[time])
    low = [(UNITS + 20, -204.0), (-20, -204.0)]
    front.thin(0).polygon([*ground_rim(), *low], GROUNDS[ground])
    front.line(ground_rim(), INK, front.outline)
    return scene.with_facts(color=name)


def _peak(pen: Pen, color: Color, x: float, height: float, width: float) -> None:
    foot = -6.0
    pen.polygon([(x - width, foot), (x, height), (x + width, foot)], color)
    shadow = [(x, height), (x + width, foot), (x + width * 0.2, foot)]
    pen.thin(0).polygon(shadow, shade(color, 0.8))
    cap, edge = 0.36 * width, height * 0.64
    snow = [(x - cap, edge), (x, height), (x + cap, edge), (x, edge - 12)]
    pen.thin(6).polygon(snow, (250, 252, 255))
    pen.line([(x - width, foot), (x, height), (x + width, foot)], INK, pen.outline)


def pine_tree(chance: Random) -> Scene:
    """A fir of three tiers."""
    name = pick(chance, "green orange pink red yellow teal purple")
    scene = anywhere("pine", chance, 0.8, name)
    _pine(scene.pen(chance, 228, 1.08), paint(chance, name), 0, 1)
    return scene.with_facts(color=name)


def _pine(pen: Pen, color: Color, x: float, size: float) -> None:
    pen.box(x - 13 * size, 0, x + 13 * size, 40 * size, WOOD)
    for half, low, height in ((70, 30, 78), (56, 78, 70), (40, 124, 62)):
        left, right = x - half * size, x + half * size
        tier = [(left, low * size), (right, low * size), (x, (low + height) * size)]
        pen.polygon(tier, color)


def round_tree(chance: Random) -> Scene:
    """A tree with a round crown."""
    name = pick(chance, "green orange pink red yellow teal purple")
    scene = anywhere("tree", chance, 0.8, name)
    pen, color = scene.pen(chance, 228, 1.08), paint(chance, name)
    pen.box(-15, 0, 15, 70, WOOD)
    crown = [(-44, 96, 44, 42), (44, 96, 44, 42), (0, 140, 54, 48), (0, 96, 50, 44)]
    pen.cluster(crown, color)
    pen.thin(0).oval(-16, 148, 22, 14, blend(color, WHITE, 0.3))
    return scene.with_facts(color=name)


def house(chance: Random) -> Scene:
    """A house with a chimney, two windows and a door; sometimes a pine beside it."""
    wall = pick(chance, "white yellow blue pink gray brown red green orange")
    roof = pick(chance, "red blue green purple brown black orange teal", wall)
    scene = anywhere("house", chance, 0.8, wall, roof)
    pen = scene.pen(chance, 220, 1.04)
    wall_color, roof_color = paint(chance, wall), paint(chance, roof)
    has_tree = chance.random() < 0.25
    if has_tree:
        _pine(pen, COLORS["green"], -96, 0.8)
    pen.box(26, 96, 52, 152, (170, 90, 76))
    pen.box(-66, 0, 66, 84, wall_color)
    pen.polygon([(-86, 80), (0, 156), (86, 80)], roof_color)
    lit = scene.facts.time in ("night", "sunset")
    for x in (-41, 41):
        pen.unlit().thin(6).box(x - 16, 32, x + 16, 66, LAMP if lit else (180, 222, 244))
        pen.line([(x, 32), (x, 66)], INK, 5)
    pen.box(-15, 0, 15, 54, shade(roof_color, 0.8))
    return scene.with_facts(color=roof, second=wall, has_tree=has_tree)


def castle(chance: Random) -> Scene:
    """A wall with a gate between two towers with pointed roofs."""
    wall = pick(chance, "gray white brown pink yellow blue")
    roof = pick(chance, "red blue green purple orange teal", wall)
    scene = anywhere("castle", chance, 0.85, wall, roof)
    pen = scene.pen(chance, 224)
    wall_color, roof_color = paint(chance, wall), paint(chance, roof)
    for x in (-34, 0, 34):
        pen.box(x - 11, 84, x + 11, 108, wall_color)
    pen.box(-52, 0, 52, 92, wall_color)
    lit = scene.facts.time in ("night", "sunset")
    for side in (-1, 1):
        pen.box(side * 70 - 28, 0, side * 70 + 28, 128, wall_color)
        pen.polygon([(side * 70 - 40, 124), (side * 70, 196), (side * 70 + 40, 124)], roof_color)
        slit = pen.unlit().thin(6)
        slit.box(side * 70 - 10, 74, side * 70 + 10, 106, LAMP if lit else (92, 96, 120))
    turns = [step * math.pi / 8 for step in range(9)]
    arch = [(math.cos(a) * 24, 32 + math.sin(a) * 24) for a in turns]
    pen.polygon([(24, 0), *arch, (-24, 0)], WOOD)
    return scene.with_facts(color=roof, second=wall)


def sailboat(chance: Random) -> Scene:
    """A boat with two sails."""
    scene = at_sea("sailboat", chance)
    sails = pick(chance, "red white yellow orange purple black green pink")
    hull = pick(chance, "brown red blue black white green yellow", sails)
    pen = scene.pen(chance, 206)
    sail_color, hull_color = paint(chance, sails), paint(chance, hull)
    pen.line([(0, 20), (0, 174)], INK, 10)
    pen.polygon([(12, 166), (12, 42), (80, 42)], sail_color)
    pen.polygon([(-12, 142), (-12, 42), (-66, 42)], shade(sail_color, 0.88))
    pen.polygon([(-86, 30), (90, 30), (62, -16), (-60, -16)], hull_color)
    pen.line([(-74, 12), (78, 12)], blend(hull_color, WHITE, 0.5), 8)
    return scene.with_facts(color=sails, second=hull)


def lighthouse(chance: Random) -> Scene:
    """A striped tower on a rock, with a beam at night."""
    scene = at_sea("lighthouse", chance)
    name = pick(chance, "red blue green orange black purple yellow")
    pen, color = scene.pen(chance, 214), paint(chance, name)
    if scene.facts.time == "night":
        beam = [(0, 160), (-170, 196), (-170, 124)]
        pen.unlit().thin(0).polygon(beam, (250, 236, 150))
    pen.oval(0, -4, 88, 28, (120, 112, 112))
    for level in range(4):
        low, high = level * 34, level * 34 + 34
        below, above = 40 - low * 0.115, 40 - high * 0.115
        stripe = [(-below, low), (below, low), (above, high), (-above, high)]
        pen.thin(6).polygon(stripe, COLORS["white"] if level % 2 else color)
    pen.box(-30, 134, 30, 144, (90, 90, 104))
    pen.unlit().box(-18, 146, 18, 172, LAMP)
    pen.unlit().polygon([(-26, 172), (26, 172), (0, 200)], color)
    return scene.with_facts(color=name)


def mushroom(chance: Random) -> Scene:
    """A toadstool with three spots."""
    name = pick(chance, "red brown orange purple blue yellow pink")
    scene = anywhere("mushroom", chance, 0.7, name)
    pen, color = scene.pen(chance, 228), paint(chance, name)
    pen.polygon([(-30, 90), (30, 90), (40, 0), (-40, 0)], (248, 236, 214))
    pen.line([(-24, 72), (24, 72)], (220, 204, 180), 10)
    turns = [step * math.pi / 16 for step in range(17)]
    pen.polygon([(math.cos(a) * 98, 84 + math.sin(a) * 98) for a in turns], color)
    for x, y, radius in ((0, 148, 20), (-50, 116, 17), (50, 116, 17)):
        pen.thin(0).oval(x, y, radius, radius * 0.92, (252, 248, 240))
    return scene.with_facts(color=name)


def vase(chance: Random) -> Scene:
    """Three flowers in a vase on a wooden table."""
    name = pick(chance, "blue white red teal black purple green yellow")
    flowers = pick(chance, "red yellow pink white purple orange", name)
    scene = before_backdrop("vase", chance, name, flowers)
    Pen(scene.picture).box(-20, -UNITS - 20, UNITS + 20, -208, (176, 122, 84))
    pen = scene.pen(chance, 236)
    color, petals = paint(chance, name), paint(chance, flowers)
    heads = ((-60, 170), (0, 196), (60, 170))
    for x, y in heads:
        pen.line([(0, 96), (x, y)], INK, 15)
        pen.line([(0, 96), (x, y)], (64, 160, 74), 7)
    for x in (-34, 34):
        pen.oval(x, 122, 20, 11, (84, 184, 90))
    for x, y in heads:
        _flower(pen, x, y, petals, (170, 100, 50) if flowers == "yellow" else (252, 208, 70))
    pen.cluster([(0, 46, 54, 46), (0, 88, 24, 22)], color)
    pen.box(-32, 94, 32, 110, color)
    pen.thin(0).oval(-22, 56, 10, 20, blend(color, WHITE, 0.55))
    return scene.with_facts(color=name, second=flowers)


def _flower(pen: Pen, x: float, y: float, petals: Color, heart: Color) -> None:
    turns = [math.pi / 2 + step * 2 * math.pi / 5 for step in range(5)]
    around = [(x + 20 * math.cos(a), y + 20 * math.sin(a), 17.0, 17.0) for a in turns]
    pen.cluster(around, petals)
    pen.thin(6).oval(x, y, 12, 12, heart)
