"""Renders versions again if their pictures were made with an older recipe.

The older pictures are shown until the new ones are ready. Running renders with the current
recipe are not touched, so a run can be interrupted and started again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from previews.models import Render, RenderState
from previews.recipes import selectors as recipes
from previews.recipes.selectors import Planned
from previews.render import Recipe, RenderError
from previews.renders import services as renders
from registry import events
from registry.jobs import queue
from registry.models import OUT_STATES, Adapter, Pack, PackVersion, Version

if TYPE_CHECKING:
    from django.db.models import QuerySet


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outdated:
    """A version to render again with a base: the number of pictures, and the changed fields.

    An entry of ``changes`` contains both values if they are short. A version of a pack has the name
    of the ``variant``.
    """

    version: Version | PackVersion
    base: str
    pictures: int
    changes: tuple[str, ...]
    variant: str = ""


@dataclass(slots=True)
class Rerendered:
    """The number of versions examined, and those that are (or would be) rendered again."""

    looked_at: int = 0
    begun: list[Outdated] = field(default_factory=list)

    @property
    def versions(self) -> int:
        """Number of versions that are rendered again, with one base or several."""
        return len({(bool(one.variant), one.version.pk) for one in self.begun})


def run(
    *,
    adapter: Adapter | None = None,
    family: str = "",
    is_dry: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Rerendered:
    """Begin renders of versions with outdated pictures, at the lowest priority.

    Args:
        adapter: Examine only versions of this adapter.
        family: Examine only versions for this base model.
        is_dry: Start no renders.
        progress: Called after each version with the number examined and the total.

    Raises:
        RenderError: the bases file is invalid.
    """
    rows = _candidates(adapter)
    keys = list((rows.filter(family=family) if family else rows).values_list("pk", flat=True))
    result = Rerendered()
    for key in keys:
        version = rows.filter(pk=key).first()
        found = list(_outdated(version, recipes.planned_for(version))) if version else []
        result.begun += found
        if version and found and not is_dry:
            renders.begin(version=version, priority=queue.RENEWAL)
        result.looked_at += 1
        progress(result.looked_at, len(keys))
    if result.begun and not is_dry:
        record(result, adapter)
    return result


def record(result: Rerendered, thing: Adapter | Pack | None) -> None:
    """Record that an operator had outdated pictures rendered again."""
    events.record(actor=None, verb="rerendered", about=thing, count=len(result.begun))


def rerender_all(*, adapter: Adapter, apart_from: int = 0) -> None:
    """Begin renders of an adapter's outdated versions, the latest version first.

    The version with the id ``apart_from`` is left out. A broken bases file is logged. Run
    ``manage.py rerender`` once it is corrected.
    """
    by_family: dict[str, list[Planned]] = {}
    try:
        for version in _candidates(adapter).exclude(pk=apart_from):
            if version.family not in by_family:
                by_family[version.family] = recipes.planned_for(version)
            if any(_outdated(version, by_family[version.family])):
                is_latest = version.pk == adapter.latest_version_id
                priority = queue.ASKED if is_latest else queue.RENEWAL
                renders.begin(version=version, priority=priority)
    except RenderError:
        log.exception("no new previews of %s", adapter.full_name)


def on_version_published(version_id: int) -> None:
    """Render other versions again if the new one extends the strengths of the recipe."""
    rerender_all(adapter=Adapter.objects.get(versions=version_id), apart_from=version_id)


def _candidates(adapter: Adapter | None) -> QuerySet[Version]:
    """Return published and yanked versions, newest of each adapter first."""
    rows = Version.objects.filter(state__in=OUT_STATES).order_by("adapter_id", "-number")
    rows = rows.select_related("adapter__namespace")
    return rows.filter(adapter=adapter) if adapter else rows


def _outdated(version: Version, planned: Sequence[Planned]) -> Iterator[Outdated]:
    """Yield why a version must be rendered again, with each base model.

    Yield nothing if it was never rendered with it: publication and the start of a worker begin
    first renders.
    """
    served = [one.base.id for one in planned]
    for one in planned:
        last = _last(version, one, served)
        if last is not None:
            changes = [*changes_of(last, one.recipe)]
            if last.trigger_words != version.trigger_words:
                changes.append("trigger words")
            yield Outdated(version, one.base.id, len(one.recipe.shots()), tuple(changes))


def _last(version: Version, planned: Planned, served: Collection[str]) -> Render | None:
    """Return the last render by another recipe; None if one runs or was made by this recipe."""
    failed: Render | None = None
    recipe = planned.recipe
    for render in recipes.renders_by(version, planned, served):
        if render.state == RenderState.RUNNING or recipes.was_made_by(render, version, recipe):
            return None
        if render.state != RenderState.FAILED:
            return render
        failed = failed or render
    return failed


def changes_of(last: Render, recipe: Recipe) -> Iterator[str]:
    """Yield the fields in which a recipe differs from that of a render."""
    before = last.recipe.document if last.recipe else {"base": "none"}
    after = recipe.to_dict() if last.recipe else {"base": recipe.base}
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old != new:
            is_short = not isinstance(old, list) and not isinstance(new, list)
            yield f"{key}: {old} → {new}" if is_short else key
