"""Compares two versions: pairs of pictures of the same prompt, seed and strength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from previews.models import Render, RenderState
from previews.pictures.selectors import Picture
from registry.models import Adapter

if TYPE_CHECKING:
    from previews.renders.selectors import Previews

#: Settings that make pictures incomparable if they differ.
_SETTINGS = (
    "base", "renderer", "steps", "guidance", "sampler", "negative", "width", "height", "frames",
    "fps",
)  # fmt: skip
_LISTS = ("prompts", "seeds", "strengths")

_Key = tuple[str, int, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """Pictures of two versions for the same prompt (without trigger words), seed and strength."""

    prompt: str
    seed: int
    strength: float
    pictures: tuple[Picture, Picture]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Pairs in the order of the first version's recipe.

    ``differences`` are the settings that differ, ``gaps`` the lists (prompts, seeds, strengths)
    that differ.
    """

    pairs: tuple[Pair, ...]
    differences: tuple[str, ...]
    gaps: tuple[str, ...]


def compare(first: Previews, second: Previews) -> Comparison:
    """Match the pictures of two versions."""
    others = _keyed(second)
    pairs = tuple(
        Pair(*key, (picture, others[key]))
        for key, picture in _keyed(first).items()
        if key in others
    )
    return Comparison(
        pairs,
        tuple(name for name in _SETTINGS if first.recipe.get(name) != second.recipe.get(name)),
        tuple(name for name in _LISTS if first.recipe.get(name) != second.recipe.get(name)),
    )


def _keyed(previews: Previews) -> dict[_Key, Picture]:
    prompts = previews.recipe.get("prompts", [])
    return {
        (prompts[one.prompt_index], one.seed, one.strength): one
        for one in previews.images
        if one.prompt_index < len(prompts)
    }


def rendered(adapter: Adapter) -> list[int]:
    """Return the numbers of the versions whose previews are ready, newest first."""
    done = Render.objects.filter(version__adapter=adapter, state=RenderState.READY)
    numbers = done.order_by("-version__number").values_list("version__number", flat=True)
    return [number for number in dict.fromkeys(numbers) if number is not None]
