"""Recipes: kept as rows, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from previews.models import Recipe

if TYPE_CHECKING:
    from previews.render import Recipe as RecipeValue

__all__ = ["stored"]


def stored(recipe: RecipeValue) -> Recipe:
    """Return the row of a recipe, written on its first use."""
    row, _created = Recipe.objects.get_or_create(
        digest=recipe.digest, defaults={"document": recipe.to_dict()}
    )
    return row
