"""The pictures an adapter learns from, drawn when its training starts.

They are drawn anew and coded with the latent code that belongs to the base, so that an
adapter needs nothing of the base's training but the exported folder and the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.miniature.drawing.canvas import PICTURE_PX
from training.miniature.drawing.looks import LOOKS
from training.miniature.drawing.pictures import draw_many
from training.miniature.prepare import CHARACTER_SEED, PLAIN_SEED, STYLED_SEED, stack

if TYPE_CHECKING:
    from torch import Tensor

    from training.miniature.adapters.plans import Plan
    from training.miniature.drawing.scene import Facts
    from training.miniature.latents import LatentCode


@dataclass(frozen=True)
class Sizes:
    """How many pictures show the style or the character, and how many neither."""

    told: int = 570
    plain: int = 3800


@dataclass(frozen=True)
class Sets:
    """Latents of the pictures and what these show."""

    told: Tensor
    # The same drawings without the style; None for a character, which has no plain twin.
    twins: Tensor | None
    facts: list[Facts]
    plain: Tensor
    plain_facts: list[Facts]

    @classmethod
    def draw(cls, plan: Plan, code: LatentCode, sizes: Sizes) -> Sets:
        """Return the sets of a plan."""
        plain = draw_many(range(PLAIN_SEED, PLAIN_SEED + sizes.plain))
        if plan.kind == "character":
            drawings = draw_many(range(CHARACTER_SEED, CHARACTER_SEED + sizes.told), plan.name)
            told, twins = code.encode(stack(drawing.image for drawing in drawings)), None
        else:
            seeds = range(STYLED_SEED, STYLED_SEED + sizes.told)
            drawings = draw_many(seeds, size=PICTURE_PX)
            twins = code.encode(stack(drawing.image for drawing in drawings))
            told = code.encode(stack(LOOKS[plan.name](drawing.image) for drawing in drawings))
        return cls(
            told,
            twins,
            [drawing.facts for drawing in drawings],
            code.encode(stack(drawing.image for drawing in plain)),
            [drawing.facts for drawing in plain],
        )
