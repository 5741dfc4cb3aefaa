"""The recipe a version gets when nobody asked for another."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from previews.render.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from previews.render.bases.bases_file import Base

__all__ = ["default_prompts", "default_recipe", "recipe_of"]

_FILE = Path(__file__).resolve().parents[1] / "recipes.toml"


#: No sweep goes farther from 0.
FARTHEST = 2.0


def default_recipe(
    base: Base, kind: str, own: Iterable[str] = (), reach: tuple[float, float] = (0.0, 1.0)
) -> Recipe:
    """Return the recipe for an adapter of a kind on a base, from ``previews/recipes.toml``.

    It depends on nothing else, so that all versions of an adapter can be compared.

    Args:
        base: Base model that renders.
        kind: What the adapter teaches.
        own: Prompts that follow the default ones; those that are there already are left out.
        reach: Lowest and highest strength that the adapter's creator recommends.
    """
    table = _table()
    return recipe_of(
        base,
        prompts=dict.fromkeys((*default_prompts(base.family, kind), *own)),
        seeds=table["seeds"],
        strengths=_strengths(*reach),
    )


def _strengths(low: float, high: float) -> list[float]:
    """Return the default strengths, extended to those that are recommended.

    Below 0, both sides are shown in two steps as far as the longer one reaches. Above the default
    ones there are two more, of which the last is 1.5 or 2.
    """
    if low < 0:
        end = min(FARTHEST, max(-low, high))
        return [-end, -end / 2, 0.0, end / 2, end]
    usual: list[float] = _table()["strengths"]
    last = usual[-1]
    if high <= last:
        return usual
    end = 1.5 if high <= 1.5 else FARTHEST
    return [*usual, (last + end) / 2, end]


def recipe_of(
    base: Base, *, prompts: Iterable[str], seeds: Iterable[int], strengths: Iterable[float]
) -> Recipe:
    """Return a recipe that leaves everything else to the base."""
    return Recipe(
        base=base.id,
        prompts=tuple(prompts),
        seeds=tuple(seeds),
        strengths=tuple(strengths),
        steps=base.steps,
        guidance=base.guidance,
        width=base.width,
        height=base.height,
        negative=base.negative,
        sampler=base.sampler,
        trigger=base.trigger,
        frames=base.frames,
        fps=base.fps,
    )


def default_prompts(family: str, kind: str) -> list[str]:
    """Return the prompts for adapters of a kind, those of a family where it brings its own."""
    table = _table()
    own = table["files"].get(family)
    prompts: dict[str, list[str]] = (_read(_FILE.parent / own) if own else table)["prompts"]
    return next(prompts[key] for key in (kind, "any", "style") if key in prompts)


def _table() -> dict[str, Any]:
    return _read(_FILE)


@cache
def _read(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))
