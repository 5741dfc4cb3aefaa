"""Recipes: what versions are rendered by, and whether they were."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from django.db.models import Max, Min

from previews import worker_bases
from previews.models import PromptSet
from previews.render.defaults import default_prompts, default_recipe
from previews.render.recipe import with_triggers
from registry.models import OUT_STATES

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from previews.models import Render
    from previews.render import Base, Recipe
    from registry.models import Adapter, Version

__all__ = [
    "HISTORY",
    "AdapterRecipe",
    "Plan",
    "current_prompts",
    "is_by",
    "is_outrun",
    "of_adapter",
    "own_prompts",
    "plans_of",
    "prompt_history",
    "recipe_for",
]

#: Sets of prompts that are told; each may have thousands of characters.
HISTORY = 50
#: Tag of adapters that are used on both sides of 0, whatever their versions recommend.
SLIDER = "slider"


@dataclass(frozen=True, slots=True)
class Plan:
    """How the versions of an adapter that are for one family are rendered.

    Without a ``base`` there is no ``recipe``, and nothing is rendered. ``versions`` are those that
    have pictures, the newest first.
    """

    family: str
    base: Base | None
    recipe: Recipe | None
    defaults: tuple[str, ...]
    versions: tuple[Version, ...] = ()

    def shown(self, prompt: str) -> str:
        """Return a prompt with the newest version's trigger words in their place."""
        words = self.versions[0].trigger_words if self.versions else ()
        return with_triggers(prompt, words, self.base.trigger if self.base else "front")

    @property
    def each(self) -> int:
        """Pictures that a prompt means for a version; 0 where nothing is rendered."""
        return len(self.recipe.seeds) * len(self.recipe.strengths) if self.recipe else 0

    @property
    def pictures(self) -> int:
        """Pictures of all its versions."""
        return len(self.recipe.shots()) * len(self.versions) if self.recipe else 0


@dataclass(frozen=True, slots=True)
class AdapterRecipe:
    """Everything about an adapter's recipe; ``number`` is of the set in force, 0 without one.

    ``history`` are the newest sets.
    """

    adapter: Adapter
    number: int
    prompts: list[str]
    plans: list[Plan]
    history: list[PromptSet]

    @property
    def versions(self) -> int:
        """Versions that are rendered."""
        return sum(len(plan.versions) for plan in self.plans if plan.recipe)

    @property
    def pictures(self) -> int:
        """Pictures of all of them."""
        return sum(plan.pictures for plan in self.plans)


def of_adapter(adapter: Adapter) -> AdapterRecipe:
    """Return how an adapter is rendered, and by what it was before."""
    history = list(prompt_history(adapter)[:HISTORY])
    number, own = (history[0].number, history[0].prompts) if history else (0, [])
    return AdapterRecipe(adapter, number, own, plans_of(adapter), history)


def plans_of(adapter: Adapter) -> list[Plan]:
    """Return how an adapter is rendered, family by family; one plan where nothing is published."""
    rows = adapter.versions.filter(state__in=OUT_STATES).order_by("family", "-number")
    own = own_prompts(adapter)
    families = [(family, tuple(each)) for family, each in groupby(rows, key=attrgetter("family"))]
    return [
        _plan(adapter, family, worker_bases.base_for(family), own, versions)
        for family, versions in families or [(adapter.family, ())]
    ]


def _plan(
    adapter: Adapter, family: str, base: Base | None, own: list[str], versions: tuple[Version, ...]
) -> Plan:
    recipe = _default(base, adapter, own) if base else None
    return Plan(family, base, recipe, tuple(default_prompts(family, adapter.kind)), versions)


def recipe_for(version: Version) -> Recipe | None:
    """Return the recipe of a version, or None where nobody has a base for its family.

    It depends on the adapter and never on the version, so that versions can be compared: default
    prompts for its kind, then those that its owner added, at strengths that reach as far as any
    of its versions recommends.
    """
    base = worker_bases.base_for(version.family)
    if base is None:
        return None
    return _default(base, version.adapter, own_prompts(version.adapter))


def _default(base: Base, adapter: Adapter, own: list[str]) -> Recipe:
    return default_recipe(base, adapter.kind, own, _reach_of(adapter))


def _reach_of(adapter: Adapter) -> tuple[float, float]:
    """Return the lowest and highest strength that any published version recommends, 0 included.

    One tagged “slider” reaches as far below 0 as above, to 1 where nobody says how far.
    """
    rows = adapter.versions.filter(state__in=OUT_STATES)
    said = rows.aggregate(
        Min("strength"), Min("strength_min"), Max("strength"), Max("strength_max")
    ).values()
    values = [value for value in said if value is not None]
    low, high = min([0.0, *values]), max([0.0, *values])
    if low == 0 and adapter.tags.filter(name=SLIDER).exists():
        low = -(high or 1.0)
    return low, high


def is_by(render: Render, version: Version, recipe: Recipe | None) -> bool:
    """Whether a render is by a recipe, with the words that the version has now."""
    if recipe is None or render.recipe is None:
        return False
    is_same = render.recipe.digest == recipe.digest
    return is_same and render.trigger_words == version.trigger_words


def is_outrun(render: Render, version: Version) -> bool:
    """Whether words, prompts or strengths of a version were changed since a render was asked for.

    What the base's entry says is left out: workers whose bases files differ would go on rendering
    each other's versions again. ``manage.py rerender`` compares that too.
    """
    if render.trigger_words != version.trigger_words:
        return True
    own = current_prompts(version.adapter)
    if own is not None and own.created_at > render.created_at:
        return True
    recipe = recipe_for(version)
    return bool(
        recipe and render.recipe and render.recipe.document["strengths"] != list(recipe.strengths)
    )


def current_prompts(adapter: Adapter) -> PromptSet | None:
    """Return the set in force, None where nobody ever wrote one."""
    return PromptSet.objects.filter(adapter=adapter).first()


def own_prompts(adapter: Adapter) -> list[str]:
    """Return the prompts in force beside the default ones, in their order."""
    found = current_prompts(adapter)
    return list(found.prompts) if found else []


def prompt_history(adapter: Adapter) -> QuerySet[PromptSet]:
    """Return every set with who wrote it and when, the newest first."""
    return PromptSet.objects.filter(adapter=adapter).select_related("author")
