"""The stage a subject is put on, and the facts that a caption may mention."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from training.miniature.drawing.canvas import COLORS, Color, Pen
from training.miniature.drawing.scenery import (
    BACKDROPS,
    GROUNDS,
    LIGHTS,
    TIMES,
    backdrop,
    deep,
    land,
    sea,
    vary,
)

if TYPE_CHECKING:
    from random import Random

    from PIL import Image


@dataclass(frozen=True)
class Facts:
    """What a picture shows; None where there is nothing to say."""

    subject: str
    color: str | None = None
    second: str | None = None
    time: str | None = None
    ground: str | None = None
    backdrop: str | None = None
    facing: str | None = None
    has_tree: bool = False


@dataclass(frozen=True)
class Scene:
    """A drawing in progress: the large picture, its facts, the pen's starting place."""

    picture: Image.Image
    facts: Facts

    def pen(self, chance: Random, foot: float, size: float = 1.0, sway: float = 10) -> Pen:
        """Return a pen whose origin stands `foot` below the top, at one of three places.

        The size is fixed: a few pixels that no caption tells come out as doubled outlines.
        """
        light = LIGHTS[self.facts.time] if self.facts.time else LIGHTS["day"]
        return Pen(
            self.picture,
            x=128 + chance.choice((-sway, 0, sway)),
            y=foot,
            size=size,
            light=light,
            flipped=self.facts.facing == "left",
        )

    def with_facts(self, **facts: str | bool | None) -> Scene:
        """Return the scene with more facts."""
        return replace(self, facts=replace(self.facts, **facts))  # type: ignore[arg-type]


def pick(chance: Random, names: str, *taken: str) -> str:
    """Return one of the space-separated names that is not taken."""
    return chance.choice([name for name in names.split() if name not in taken])


def paint(chance: Random, name: str) -> Color:
    """Return the named colour with a little variation."""
    return vary(COLORS[name], chance)


def on_land(subject: str, chance: Random) -> Scene:
    """Set the subject outdoors, at any time on any ground."""
    return on_land_at(subject, chance.choice(TIMES), chance.choice(list(GROUNDS)))


def on_land_at(subject: str, time: str, ground: str) -> Scene:
    """Set the subject outdoors, at that time on that ground."""
    return Scene(land(time, ground), Facts(subject, time=time, ground=ground))


def at_sea(subject: str, chance: Random) -> Scene:
    """Set the subject on the sea, at any time."""
    time = chance.choice(TIMES)
    return Scene(sea(time), Facts(subject, time=time))


def under_water(subject: str) -> Scene:
    """Set the subject under the sea, where there is no time of day."""
    return Scene(deep(), Facts(subject, ground="deep"))


def before_backdrop(subject: str, chance: Random, *taken: str) -> Scene:
    """Set the subject before a plain colour that is not one of its own."""
    color = pick(chance, " ".join(BACKDROPS), *taken)
    return Scene(backdrop(color, chance), Facts(subject, backdrop=color))


def anywhere(subject: str, chance: Random, outdoors: float, *taken: str) -> Scene:
    """Set the subject outdoors with that probability, else before a plain colour."""
    if chance.random() < outdoors:
        return on_land(subject, chance)
    return before_backdrop(subject, chance, *taken)
