"""Reads of recipes: what versions are rendered with, and whether a render is current.

A version is rendered with each base model of its family that is served.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.db.models import Max, Min, Q, QuerySet

from previews import worker_bases
from previews.models import PromptSet, Render
from previews.render import Base, Recipe
from previews.render.defaults import default_prompts, default_recipe
from previews.render.recipe import with_triggers
from registry.models import OUT_STATES, Adapter, Version

#: Maximum number of earlier sets of prompts that are listed.
HISTORY = 50
#: Tag of adapters that are also used at negative strengths.
SLIDER = "slider"


@dataclass(frozen=True, slots=True)
class Plan:
    """How an adapter's versions for one family are rendered with one of its base models.

    Without a base model there is no recipe, and nothing is rendered. ``versions`` are the published
    and yanked ones, newest first.
    """

    family: str
    base: Base | None
    recipe: Recipe | None
    defaults: tuple[str, ...]
    versions: tuple[Version, ...] = ()

    def shown(self, prompt: str) -> str:
        """Return a prompt with the trigger words of the newest version."""
        words = self.versions[0].trigger_words if self.versions else ()
        return with_triggers(prompt, words, self.base.trigger if self.base else "front")

    @property
    def swept(self) -> int:
        """Pictures of a version with a swept prompt, which has all seeds and strengths."""
        return len(self.recipe.seeds) * len(self.recipe.strengths) if self.recipe else 0

    @property
    def pictures(self) -> int:
        """Number of pictures of all its versions."""
        return len(self.recipe.shots()) * len(self.versions) if self.recipe else 0


@dataclass(frozen=True, slots=True)
class AdapterRecipe:
    """An adapter's prompts and plans.

    ``number`` is that of the current set of prompts, 0 without one; ``history`` has the newest
    sets.
    """

    adapter: Adapter
    number: int
    prompts: list[str]
    plans: list[Plan]
    history: list[PromptSet]

    @property
    def versions(self) -> int:
        """Versions that are rendered."""
        return len({one.pk for plan in self.plans if plan.recipe for one in plan.versions})

    @property
    def pictures(self) -> int:
        """Number of pictures of all versions."""
        return sum(plan.pictures for plan in self.plans)


def of_adapter(adapter: Adapter) -> AdapterRecipe:
    """Return how an adapter is rendered, with its earlier prompts."""
    history = list(prompt_history(adapter)[:HISTORY])
    number, own = (history[0].number, history[0].prompts) if history else (0, [])
    return AdapterRecipe(adapter, number, own, plans_of(adapter), history)


@dataclass(frozen=True, slots=True)
class Planned:
    """A base model with the recipe for a version; ``rank`` is its place in the family."""

    base: Base
    recipe: Recipe
    rank: int

    @property
    def columns(self) -> dict[str, Any]:
        """Columns of a render with this base model."""
        return {"base": self.base.id, "output": self.base.output, "rank": self.rank}


def plans_of(adapter: Adapter) -> list[Plan]:
    """Return the plans for each family of an adapter, for that of the adapter if it has none."""
    rows = adapter.versions.filter(state__in=OUT_STATES).order_by("family", "-number")
    families = {family: tuple(each) for family, each in groupby(rows, key=attrgetter("family"))}
    own, plans = own_prompts(adapter), []
    for family, versions in (families or {adapter.family: ()}).items():
        bases = worker_bases.bases_for(family)
        for one in _planned(bases, adapter, own):
            defaults = default_prompts(family, adapter.kind, one.base.output)
            plans.append(Plan(family, one.base, one.recipe, tuple(defaults), versions))
        if not bases:
            defaults = default_prompts(family, adapter.kind)
            plans.append(Plan(family, None, None, tuple(defaults), versions))
    return plans


def planned_for(version: Version) -> list[Planned]:
    """Return the recipes of a version, one for each base model of its family that is served.

    They depend on the adapter but not on the version, so that versions can be compared: default
    prompts for the kind, then the owner's prompts. Pictures have strengths as high and low as any
    version recommends, videos the highest that a version recommends.
    """
    bases = worker_bases.bases_for(version.family)
    return _planned(bases, version.adapter, own_prompts(version.adapter)) if bases else []


def recipe_for(version: Version) -> Recipe | None:
    """Return the recipe of a version with the first base model; None if there is none."""
    return next((one.recipe for one in planned_for(version)), None)


def _planned(bases: list[Base], adapter: Adapter, own: list[str]) -> list[Planned]:
    if not bases:
        return []
    reach, recommended = _strengths_of(adapter)
    recipes = (default_recipe(base, adapter.kind, own, reach, recommended) for base in bases)
    return [Planned(*pair, rank) for rank, pair in enumerate(zip(bases, recipes, strict=True))]


def _strengths_of(adapter: Adapter) -> tuple[tuple[float, float], float | None]:
    """Return the reach of the sweep, and the highest strength that a version recommends as best.

    The reach is from the lowest to the highest strength of any recommended range, including 0. An
    adapter tagged “slider” goes as far below 0 as above, to 1 if no version recommends any.
    """
    rows = adapter.versions.filter(state__in=OUT_STATES)
    found = rows.aggregate(
        Min("strength"), Min("strength_min"), Max("strength"), Max("strength_max")
    )
    values = [value for value in found.values() if value is not None]
    low, high = min([0.0, *values]), max([0.0, *values])
    if low == 0 and adapter.tags.filter(name=SLIDER).exists():
        low = -(high or 1.0)
    return (low, high), found["strength__max"]


def renders_by(version: Version, planned: Planned, served: Collection[str]) -> list[Render]:
    """Return the renders of a version with a base model, newest first.

    Without any, they are those with base models for the same output that are no longer served:
    this one takes their place.

    Args:
        served: Ids of the base models of the family.
    """
    rows = version.renders.select_related("job", "recipe")
    own = Q(base=planned.base.id) | Q(base="")
    found = list(rows.filter(own))
    if found:
        return found
    return list(rows.filter(output=planned.base.output).exclude(base__in=served))


def was_made_by(render: Render, version: Version, recipe: Recipe | None) -> bool:
    """Return whether a render has this recipe and the version's current trigger words."""
    if recipe is None or render.recipe is None:
        return False
    is_same = render.recipe.digest == recipe.digest
    return is_same and render.trigger_words == version.trigger_words


def is_outdated(render: Render, version: Version) -> bool:
    """Return whether trigger words, prompts or strengths changed after a render was requested.

    Settings of the base model are not compared: workers with different bases files would render
    each other's versions forever. ``manage.py rerender`` compares them as well.
    """
    if render.trigger_words != version.trigger_words:
        return True
    own = current_prompts(version.adapter)
    if own is not None and own.created_at > render.created_at:
        return True
    if render.recipe is None:
        return False
    before = render.recipe.document
    return any(
        before["strengths"] != list(one.recipe.strengths)
        or before.get("at", one.recipe.at) != one.recipe.at
        for one in planned_for(version)
        if one.base.id == before["base"]
    )


def current_prompts(adapter: Adapter) -> PromptSet | None:
    """Return the current set of an owner's prompts; None if there never was one."""
    return PromptSet.objects.filter(adapter=adapter).first()


def own_prompts(adapter: Adapter) -> list[str]:
    """Return the owner's prompts that follow the default ones."""
    found = current_prompts(adapter)
    return list(found.prompts) if found else []


def prompt_history(adapter: Adapter) -> QuerySet[PromptSet]:
    """Return all sets with their authors, newest first."""
    return PromptSet.objects.filter(adapter=adapter).select_related("author")
