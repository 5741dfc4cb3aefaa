"""Default recipes, from ``previews/recipes.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from previews.render.bases.bases_file import Base, Output
from previews.render.recipe import Recipe, TriggerRule

_FILE = Path(__file__).resolve().parents[1] / "recipes.toml"


#: Maximum absolute strength of a default recipe.
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
        reach: Lowest and highest recommended strength, for pictures.
        recommended: Strength of videos, and of prompts of pictures that are not swept, for which
            the nearest strength of the sweep is used. None: 1.
    """
    table = _table(base.output)
    wanted = 1.0 if recommended is None else recommended
    strength = max(-MAX_STRENGTH, min(MAX_STRENGTH, wanted)) or 1.0
    strengths = sorted((0.0, strength)) if base.output == "video" else _strengths(*reach)
    recipe = recipe_of(
        base,
        prompts=dict.fromkeys((*default_prompts(base.family, kind, base.output), *own)),
        seeds=table["seeds"],
        strengths=strengths,
    )
    swept = table["swept"]
    return replace(
        recipe,
        swept=swept,
        at=min(filter(None, strengths), key=lambda one: abs(one - wanted)) if swept else 0.0,
        edition=table["edition"],
    )


def _strengths(low: float, high: float) -> list[float]:
    """Return the default strengths, extended to the recommended ones.

    For strengths below 0, both sides have two steps up to the longer side. For strengths above
    the default ones, two more are added, up to 1.5 or 2.
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
    base: Base,
    *,
    prompts: Iterable[str],
    seeds: Iterable[int],
    strengths: Iterable[float],
    trigger: TriggerRule | None = None,
) -> Recipe:
    """Return a recipe with the base's settings; ``trigger`` replaces its place of trigger words."""
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
        trigger=trigger or base.trigger,
        frames=base.frames,
        fps=base.fps,
    )


def default_prompts(family: str, kind: str, output: Output = "image") -> list[str]:
    """Return the default prompts for a kind of adapter; some families have their own."""
    prompts: dict[str, list[str]] = _table_of(family, "prompts", output)
    return next(prompts[key] for key in (kind, "any", "style") if key in prompts)


def report_table(family: str) -> dict[str, Any]:
    """Return the prompts and seeds of look reports; some families have their own."""
    return _table_of(family, "report")


def _table_of(family: str, name: str, output: Output = "image") -> dict[str, Any]:
    """Return a table of the family's own file, or of the one for all."""
    common = _table(output)
    own = common["files"].get(family)
    found: dict[str, Any] = (_read(_FILE.parent / own) if own else common)[name]
    return found


def _table(output: Output) -> dict[str, Any]:
    table = _read(_FILE)
    return table["video"] if output == "video" else table


@cache
def _read(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))
