"""Recipes: what a version is rendered by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from previews.models import Recipe
from previews.render import Recipe as RecipeValue
from previews.render import load_bases
from previews.render.defaults import default_recipe

if TYPE_CHECKING:
    from registry.models import Version

__all__ = ["recipe_for", "stored"]


def recipe_for(version: Version) -> RecipeValue | None:
    """Return the recipe of a version, or None where nobody has a base for its family.

    It depends on the adapter and never on the version, so that versions can be compared.
    """
    base = load_bases(settings.LORARY.bases).serving(version.family)
    return default_recipe(base, version.adapter.kind) if base else None


def stored(recipe: RecipeValue) -> Recipe:
    """Return the row of a recipe, written on its first use."""
    row, _created = Recipe.objects.get_or_create(
        digest=recipe.digest, defaults={"document": recipe.to_dict()}
    )
    return row
