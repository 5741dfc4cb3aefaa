"""Captioned pictures of the miniature's small world, each drawn from one seed.

A subject is one big centred thing. What a picture shows is in its `Facts`, and the
captions say the facts; what the facts leave open (place, size) has few values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from PIL import Image

from training.miniature.drawing import creatures, things, vehicles
from training.miniature.drawing.canvas import CODED_PX
from training.miniature.drawing.scene import Facts, Scene

Painter = Callable[[Random], Scene]

SUBJECTS: dict[str, Painter] = {
    "mountains": things.mountains,
    "tree": things.round_tree,
    "pine": things.pine_tree,
    "house": things.house,
    "sailboat": things.sailboat,
    "lighthouse": things.lighthouse,
    "cat": creatures.cat,
    "fox": creatures.fox,
    "bird": creatures.bird,
    "mushroom": things.mushroom,
    "vase": things.vase,
    "woman": creatures.woman,
    "man": creatures.man,
    "dog": creatures.dog,
    "fish": creatures.fish,
    "castle": things.castle,
    "car": vehicles.car,
    "balloon": vehicles.balloon,
    "rocket": vehicles.rocket,
}
# Drawn for the character adapters only; the base never sees them.
CHARACTERS: dict[str, Painter] = {
    "zorbi": creatures.zorbi,
    "robot": creatures.robot,
    "ghost": creatures.ghost,
    "pumpkin": creatures.pumpkin,
}


@dataclass(frozen=True)
class Drawing:
    """A finished picture and what it shows."""

    image: Image.Image
    facts: Facts


def draw(seed: int, subject: str | None = None, size: int = CODED_PX) -> Drawing:
    """Return the drawing of a seed; without a subject the seed picks one in turn."""
    names = list(SUBJECTS)
    name = subject or names[seed % len(names)]
    painter = SUBJECTS.get(name) or CHARACTERS[name]
    scene = painter(Random(f"{name}:{seed}"))  # noqa: S311 - pictures, not secrets
    small = scene.picture.resize((size, size), Image.Resampling.BOX)
    return Drawing(small, scene.facts)


def draw_many(
    seeds: Iterable[int], subject: str | None = None, size: int = CODED_PX
) -> list[Drawing]:
    """Return one drawing per seed."""
    return [draw(seed, subject, size) for seed in seeds]
