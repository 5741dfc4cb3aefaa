"""Captioned clips: the painters' pictures, taken apart and moved.

The scenery of a picture outdoors is fixed once time and ground are chosen, so what differs from it
is the subject. It is cut out and put back at another place in each frame. A clip ends where it
begins, so that it plays in a loop, unless its subject leaves the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from PIL import Image, ImageChops

from training.miniature.drawing import creatures, scenery
from training.miniature.drawing.canvas import DRAWN_PX, PICTURE_PX, WHITE, Pen
from training.miniature.drawing.captions import training_caption
from training.miniature.drawing.pictures import SUBJECTS

if TYPE_CHECKING:
    from training.miniature.drawing.scene import Facts, Scene

#: Frames of a clip; a motion adapter sees half or all of them.
FRAMES = 16
#: Pictures that are drawn until one is outdoors.
MAX_TRIES = 100


@dataclass(frozen=True)
class Stage:
    """A picture in its parts, at the size it is drawn in."""

    scenery: Image.Image
    subject: Image.Image  # RGBA
    facts: Facts

    def put(
        self, x: float = 0, y: float = 0, turn: float = 0, **ground: Image.Image
    ) -> Image.Image:
        """Return the picture with the subject moved right and down, and turned, in degrees."""
        subject = self.subject
        if turn:
            subject = subject.rotate(turn, Image.Resampling.BILINEAR)
        picture = ground.get("on", self.scenery).copy()
        picture.paste(subject, (round(x), round(y)), subject)
        return picture


#: Returns the frame of a stage at a time from 0 to 1.
Move = Callable[[Stage, float], Image.Image]


@dataclass(frozen=True)
class Motion:
    """Something that moves: its words in captions, whom it fits, and how."""

    words: tuple[str, ...]
    subjects: tuple[str, ...]
    begin: Callable[[Stage, Random], Move]


@dataclass(frozen=True)
class Clip:
    """The frames of a clip, and what it shows."""

    frames: list[Image.Image]
    facts: Facts
    motion: str


def _passing(_stage: Stage, _chance: Random) -> Move:
    def move(stage: Stage, time: float) -> Image.Image:
        side = -1 if stage.facts.facing == "left" else 1
        return stage.put(x=side * (time - 0.5) * 1.3 * DRAWN_PX)

    return move


def _rising(_stage: Stage, _chance: Random) -> Move:
    return lambda stage, time: stage.put(y=(0.3 - 0.6 * time) * DRAWN_PX)


def _rocking(_stage: Stage, chance: Random) -> Move:
    phase = chance.random()

    def move(stage: Stage, time: float) -> Image.Image:
        wave = math.sin(2 * math.pi * (time + phase))
        below = (0, scenery.SEA_HORIZON + 8, DRAWN_PX, DRAWN_PX)
        sea = stage.scenery.copy()
        sea.paste(ImageChops.offset(sea.crop(below), round(time * DRAWN_PX), 0), below)
        return stage.put(y=7 * wave, turn=5 * math.cos(2 * math.pi * (time + phase)), on=sea)

    return move


def _drifting(_stage: Stage, chance: Random) -> Move:
    clouds = [
        (chance.uniform(0, 1), chance.uniform(22, 76), chance.choice((0.7, 1.0))) for _ in "ab"
    ]

    def move(stage: Stage, time: float) -> Image.Image:
        light = scenery.LIGHTS[stage.facts.time or "day"]
        sky, room = stage.scenery.copy(), DRAWN_PX + 140
        for start, height, size in clouds:
            x = (start + time) % 1 * room - 70
            pen = Pen(sky, x, height, size, light)
            pen.cluster([(-32, -6, 24, 16), (0, 4, 30, 24), (32, -6, 24, 16)], WHITE)
        return stage.put(on=sky)

    return move


def _snowing(_stage: Stage, chance: Random) -> Move:
    flakes = [
        (chance.uniform(0, 256), chance.uniform(0, 1), chance.choice((1, 2))) for _ in range(26)
    ]

    def move(stage: Stage, time: float) -> Image.Image:
        picture = stage.put()
        for x, start, speed in flakes:
            y = (start + speed * time) % 1 * (DRAWN_PX + 16) - 8
            sway = 6 * math.sin(2 * math.pi * (time + start))
            Pen(picture, outline=0).oval(x + sway, -y, 6, 6, (250, 252, 255))
        return picture

    return move


def _darkening(stage: Stage, _chance: Random) -> Move:
    night = scenery.land("night", stage.facts.ground or "meadow")
    light = scenery.LIGHTS["night"]
    dark = stage.subject.convert("RGB").point(lambda level: round(level * light.brightness))
    dark = Image.blend(dark, Image.new("RGB", dark.size, light.tint), light.amount)
    dark.putalpha(stage.subject.getchannel("A"))

    def move(stage: Stage, time: float) -> Image.Image:
        subject = Image.blend(stage.subject, dark, time)
        scene = Image.blend(stage.scenery, night, time)
        return replace(stage, scenery=scene, subject=subject).put()

    return move


_ON_LAND = ("house", "castle", "tree", "pine", "mountains", "mushroom", "fox", "bird")
MOTIONS: dict[str, Motion] = {
    "passing": Motion(("passing by", "driving by", "moving"), ("car",), _passing),
    "swimming": Motion(("swimming by", "moving"), ("fish",), _passing),
    "rising": Motion(("rising", "flying up", "moving up"), ("balloon", "rocket"), _rising),
    "rocking": Motion(("waves rolling", "rocking on waves"), ("sailboat",), _rocking),
    "drifting": Motion(("drifting clouds", "clouds passing"), _ON_LAND, _drifting),
    "snowing": Motion(("falling snow", "snow falling"), (*_ON_LAND, "cat", "dog"), _snowing),
    "darkening": Motion(("day turning to night", "night falling"), _ON_LAND, _darkening),
    "wagging": Motion(("wagging its tail", "tail moving"), ("cat",), _drifting),
}


def film(seed: int, motion: str | None = None, frames: int = FRAMES) -> Clip:
    """Return the clip of a seed; without a motion the seed picks one in turn."""
    names = list(MOTIONS)
    name = motion or names[seed % len(names)]
    kind, chance = MOTIONS[name], Random(f"{name}:{seed}")  # noqa: S311 - pictures, not secrets
    subject = chance.choice(kind.subjects)
    number = _outdoors(subject, chance, is_day=name == "darkening")
    if name == "wagging":
        wags = (math.sin(2 * math.pi * index / frames) for index in range(frames))
        large = [_drawn(subject, number, wag).picture for wag in wags]
        facts = _drawn(subject, number).facts
    else:
        stage = _apart(_drawn(subject, number))
        move, facts = kind.begin(stage, chance), stage.facts
        large = [move(stage, index / frames) for index in range(frames)]
    size = (PICTURE_PX, PICTURE_PX)
    small = [picture.resize(size, Image.Resampling.BOX) for picture in large]
    return Clip(small, facts, name)


def film_many(seeds: Iterable[int]) -> list[Clip]:
    """Return one clip per seed."""
    return [film(seed) for seed in seeds]


def clip_caption(facts: Facts, motion: str, chance: Random) -> str:
    """Return a caption of the base's training, usually with words for the motion."""
    text = training_caption(facts, chance)
    if not text or chance.random() < 0.1:
        return text
    return f"{text}, {chance.choice(MOTIONS[motion].words)}"


def _drawn(subject: str, number: int, wag: float = 0.0) -> Scene:
    """Return the picture that a painter makes of a number, a cat with its tail to one side."""
    painter = partial(creatures.cat, wag=wag) if subject == "cat" else SUBJECTS[subject]
    return painter(Random(f"{subject}:{number}"))  # noqa: S311 - pictures, not secrets


def _outdoors(subject: str, chance: Random, *, is_day: bool) -> int:
    """Return a number whose picture has scenery that can be drawn again."""
    for _ in range(MAX_TRIES):
        number = chance.randrange(10**9)
        facts = _drawn(subject, number).facts
        if facts.backdrop is None and (not is_day or (facts.time == "day" and facts.ground)):
            return number
    msg = f"{subject} is never drawn outdoors"
    raise ValueError(msg)


def _apart(scene: Scene) -> Stage:
    """Return a picture in its parts."""
    facts = scene.facts
    if facts.ground == "deep":
        ground = scenery.deep()
    elif facts.ground:
        ground = scenery.land(facts.time or "day", facts.ground)
    else:
        ground = scenery.sea(facts.time or "day")
    differs = ImageChops.difference(scene.picture, ground).convert("L").point(_is_not_zero)
    subject = scene.picture.copy()
    subject.putalpha(differs)
    return Stage(ground, subject, facts)


def _is_not_zero(level: int) -> int:
    return 255 if level else 0
