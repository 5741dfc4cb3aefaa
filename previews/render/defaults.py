"""Default recipes, from ``previews/recipes.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from previews.render.bases.bases_file import Base
from previews.render.recipe import Recipe

_FILE = Path(__file__).resolve().parents[1] / "recipes.toml"


#: Highest absolute strength of a default recipe.
MAX_STRENGTH = 2.0


def default_recipe(
    base: Base,
    kind: str,
    own: Iterable[str] = (),
    reach: tuple[float, float] = (0.0, 1.0),
    recommended: float | None = None,
) -> Recipe:
    """Return the default recipe for an adapter, the same for all its versions.

    Args:
        own: Prompts that follow the default ones; duplicates are left out.
        reach: Lowest and highest recommended strength.
        recommended: Strength at which prompts are rendered that are not swept; the nearest of the
            sweep is used. None: 1.
    """
    table, strengths = _read(_FILE), _strengths(*reach)
    wanted = 1.0 if recommended is None else recommended
    recipe = recipe_of(
        base,
        prompts=dict.fromkeys((*default_prompts(base.family, kind), *own)),
        seeds=table["seeds"],
        strengths=strengths,
    )
    return replace(
        recipe,
        swept=table["swept"],
        at=min(filter(None, strengths), key=lambda one: abs(one - wanted)),
        edition=table["edition"],
    )


def _strengths(low: float, high: float) -> list[float]:
    """Return the default strengths, extended to the recommended ones.

    With strengths below 0, both sides have two steps up to the longer side. With strengths above
    the default ones there are two more, up to 1.5 or 2.
    """
    if low < 0:
        end = min(MAX_STRENGTH, max(-low, high))
        return [-end, -end / 2, 0.0, end / 2, end]
    usual: list[float] = _read(_FILE)["strengths"]
    last = usual[-1]
    if high <= last:
        return usual
    end = 1.5 if high <= 1.5 else MAX_STRENGTH
    return [*usual, (last + end) / 2, end]


def recipe_of(
    base: Base, *, prompts: Iterable[str], seeds: Iterable[int], strengths: Iterable[float]
) -> Recipe:
    """Return a recipe with the base's settings."""
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
    """Return the default prompts for a kind of adapter; some families have their own."""
    table = _read(_FILE)
    own = table["files"].get(family)
    prompts: dict[str, list[str]] = (_read(_FILE.parent / own) if own else table)["prompts"]
    return next(prompts[key] for key in (kind, "any", "style") if key in prompts)


@cache
def _read(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))
