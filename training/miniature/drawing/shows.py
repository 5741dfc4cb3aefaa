"""Pictures of every kind that the decoder must be able to show."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from training.miniature.drawing.canvas import PICTURE_PX
from training.miniature.drawing.looks import LOOKS, any_look
from training.miniature.drawing.pictures import CHARACTERS, SUBJECTS, draw

if TYPE_CHECKING:
    from PIL import Image

# How many of a hundred are plain, in one look, in two, in a look that nobody named.
_SHARES = {"plain": 34, "look": 46, "two": 10, "any": 10}
_CHARACTER_SHARE = 0.12


def show(number: int) -> Image.Image:
    """Return the picture of that number, 256 px wide."""
    chance = Random(f"show:{number}")  # noqa: S311 - pictures, not secrets
    names = list(CHARACTERS if chance.random() < _CHARACTER_SHARE else SUBJECTS)
    image = draw(number, chance.choice(names), PICTURE_PX).image
    kind = chance.choices(list(_SHARES), list(_SHARES.values()))[0]
    if kind == "any":
        return any_look(image, chance)
    looks = chance.sample(list(LOOKS), {"plain": 0, "look": 1, "two": 2}[kind])
    for look in looks:
        image = LOOKS[look](image)
    return image
