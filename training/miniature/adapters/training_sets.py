"""The pictures that an adapter learns from, drawn when its training starts.

They are encoded with the latent code of the base. Therefore an adapter needs only the exported
folder and the code from the base's training.
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
    """Numbers of pictures with the style or character (``triggered``) and without (``plain``)."""

    triggered: int = 570
    plain: int = 3800


@dataclass(frozen=True)
class Sets:
    """Latents of the pictures and what these show."""

    triggered: Tensor
    # The same drawings without the style; None for a character, which has none.
    unstyled: Tensor | None
    facts: list[Facts]
    plain: Tensor
    plain_facts: list[Facts]

    @classmethod
    def draw(cls, plan: Plan, code: LatentCode, sizes: Sizes) -> Sets:
        """Return the sets of a plan."""
        plain = draw_many(range(PLAIN_SEED, PLAIN_SEED + sizes.plain))
        if plan.kind == "character":
            drawings = draw_many(range(CHARACTER_SEED, CHARACTER_SEED + sizes.triggered), plan.name)
            triggered, unstyled = code.encode(stack(drawing.image for drawing in drawings)), None
        else:
            seeds = range(STYLED_SEED, STYLED_SEED + sizes.triggered)
            drawings = draw_many(seeds, size=PICTURE_PX)
            unstyled = code.encode(stack(drawing.image for drawing in drawings))
            triggered = code.encode(stack(LOOKS[plan.name](drawing.image) for drawing in drawings))
        return cls(
            triggered,
            unstyled,
            [drawing.facts for drawing in drawings],
            code.encode(stack(drawing.image for drawing in plain)),
            [drawing.facts for drawing in plain],
        )
