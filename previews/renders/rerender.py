"""Rendering again what was made by a recipe that is no longer the version's.

Pictures of before stay shown until the new ones are there. What is under way by today's recipe is
let alone, so a run may be cut off at any point and started again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from previews.models import RenderState
from previews.recipes import selectors as recipes
from previews.render import RenderError
from previews.renders import services as renders
from registry.jobs import queue
from registry.models import OUT_STATES, Adapter, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import QuerySet

    from previews.models import Render
    from previews.render import Recipe

__all__ = ["Outdated", "Rerendered", "follow", "on_version_published", "run"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outdated:
    """A version to render again, how many pictures that makes, and why.

    Each of ``changes`` is a field of the recipe that differs, with both values where they are
    short.
    """

    version: Version
    pictures: int
    changes: tuple[str, ...]


@dataclass(slots=True)
class Rerendered:
    """What was looked at, and what is rendered again (or would be)."""

    looked_at: int = 0
    begun: list[Outdated] = field(default_factory=list)


def run(
    *,
    adapter: Adapter | None = None,
    family: str = "",
    is_dry: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Rerendered:
    """Begin renders of versions that were made by another recipe, after all other work.

    Args:
        adapter: Look at its versions only.
        family: Look at versions for this base model only.
        is_dry: Only say what would be rendered.
        progress: Gets versions looked at and versions in all, after each.

    Raises:
        RenderError: the bases file is broken.
    """
    rows = _candidates(adapter)
    keys = list((rows.filter(family=family) if family else rows).values_list("pk", flat=True))
    told = Rerendered()
    for key in keys:
        version = rows.filter(pk=key).first()
        found = _outdated(version, recipes.recipe_for(version)) if version else None
        if found is not None:
            told.begun.append(found)
            if not is_dry:
                renders.begin(version=found.version, priority=queue.RENEWAL)
        told.looked_at += 1
        progress(told.looked_at, len(keys))
    return told


def follow(*, adapter: Adapter) -> None:
    """Begin renders of all versions after their recipe was changed, the offered one before others.

    A broken bases file does not undo the change: ``manage.py rerender`` follows when it is mended.
    """
    made_by: dict[str, Recipe | None] = {}  # an adapter has one for each family
    try:
        for version in _candidates(adapter):
            if version.family not in made_by:
                made_by[version.family] = recipes.recipe_for(version)
            if _outdated(version, made_by[version.family]) is not None:
                is_offered = version.pk == adapter.latest_version_id
                priority = queue.ASKED if is_offered else queue.RENEWAL
                renders.begin(version=version, priority=priority)
    except RenderError:
        log.exception("no new previews of %s", adapter.full_name)


def on_version_published(version_id: int) -> None:
    """Render the other versions again where this one changes the recipe of all: its strengths."""
    follow(adapter=Adapter.objects.get(versions=version_id))


def _candidates(adapter: Adapter | None) -> QuerySet[Version]:
    """Return versions that have pictures, the newest of each adapter first."""
    rows = Version.objects.filter(state__in=OUT_STATES).order_by("adapter_id", "-number")
    rows = rows.select_related("adapter__namespace")
    return rows.filter(adapter=adapter) if adapter else rows


def _outdated(version: Version, recipe: Recipe | None) -> Outdated | None:
    """Return why a version is to be rendered again by its recipe.

    None also where nobody has a base model for it, and where it was never rendered: that is begun
    when it is published, and when a worker starts.
    """
    last = _last(version, recipe) if recipe else None
    if recipe is None or last is None:
        return None
    return Outdated(version, len(recipe.shots()), tuple(_changes(last, version, recipe)))


def _last(version: Version, recipe: Recipe) -> Render | None:
    """Return the last render if it is by another recipe; failures by today's would fail again."""
    failed: Render | None = None
    for render in version.renders.select_related("recipe"):
        if render.state == RenderState.RUNNING or recipes.is_by(render, version, recipe):
            return None
        if render.state != RenderState.FAILED:
            return render
        failed = failed or render
    return failed


def _changes(last: Render, version: Version, recipe: Recipe) -> Iterator[str]:
    before = last.recipe.document if last.recipe else {"base": "none"}
    after = recipe.to_dict() if last.recipe else {"base": recipe.base}
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old != new:
            is_short = not isinstance(old, list) and not isinstance(new, list)
            yield f"{key}: {old} → {new}" if is_short else key
    if last.trigger_words != version.trigger_words:
        yield "trigger words"
