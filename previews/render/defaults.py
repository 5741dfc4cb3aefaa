"""The recipe a version gets when nobody asked for another."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from previews.render.recipe import Recipe

if TYPE_CHECKING:
    from previews.render.bases import Base

__all__ = ["default_recipe"]

_FILE = Path(__file__).resolve().parents[1] / "recipes.toml"
_ANY = "any"


def default_recipe(base: Base, kind: str) -> Recipe:
    """Return the recipe for an adapter of a kind on a base, from ``previews/recipes.toml``.

    It depends on nothing else, so that all versions of an adapter can be compared.
    """
    table = _table()
    return Recipe(
        base=base.id,
        prompts=tuple(_prompts(base.family, kind)),
        seeds=tuple(table["seeds"]),
        strengths=tuple(table["strengths"]),
        steps=base.steps,
        guidance=base.guidance,
        width=base.width,
        height=base.height,
        negative=base.negative,
        sampler=base.sampler,
        trigger=base.trigger,
    )


def _prompts(family: str, kind: str) -> list[str]:
    families: dict[str, dict[str, list[str]]] = _table()["prompts"]
    own = families.get(family, {})
    general = families[_ANY]
    if own:
        return own.get(kind) or own[_ANY]
    return general.get(kind) or general[_ANY]


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
