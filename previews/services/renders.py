"""Renders: asked for, begun, and ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from lorary.anatomy import family_title
from previews.models import OPEN_STATES, Render, RenderState
from previews.render import RenderError, load_bases
from previews.services import recipes
from registry import queue
from registry.errors import StateConflict
from registry.models import JobState, Version, VersionState
from registry.services import access

if TYPE_CHECKING:
    from previews.render import Recipe as RecipeValue
    from registry.models import User

__all__ = [
    "QUEUE",
    "RENDER_TASK",
    "begin",
    "begin_missing",
    "fail",
    "finish",
    "heard_of_publication",
    "request",
    "start",
    "wait",
    "wake_waiting",
]

RENDER_TASK = "render_version"
QUEUE = "render"

_SHOWN = {VersionState.PUBLISHED, VersionState.YANKED}

log = logging.getLogger(__name__)


def request(*, actor: User, version: Version) -> Render:
    """Ask for the previews of a version; one under way, or ready by this recipe, is returned.

    Raises:
        StateConflict: only published versions are rendered.
        NotFound, Forbidden, Unauthenticated: see ``access.require_adapter``.
    """
    access.require_adapter(actor, version.adapter)
    if version.state not in _SHOWN:
        raise StateConflict(_("Only published versions are rendered."), state=version.state)
    return begin(version=version)


def begin(*, version: Version) -> Render:
    """Queue the default recipe of a version, or write down what it waits for."""
    recipe = recipes.recipe_for(version)
    same = _same(version, recipe)
    if same is not None:
        return same
    try:
        with transaction.atomic():
            render = Render.objects.create(
                version=version,
                recipe=recipes.stored(recipe) if recipe else None,
                state=RenderState.QUEUED if recipe else RenderState.WAITING,
                reason="" if recipe else _waiting(version.family),
                trigger_words=version.trigger_words,
            )
            if recipe:
                _enqueue(render)
    except IntegrityError:  # asked for twice at once: the constraint let one through
        return version.renders.get(state__in=OPEN_STATES)
    return render


def _same(version: Version, recipe: RecipeValue | None) -> Render | None:
    """Return a render that makes a new one needless; an open one whose job died is none."""
    for render in version.renders.select_related("job", "recipe"):
        if render.state == RenderState.WAITING and recipe is not None:
            return _unwait(render, recipe)
        if render.state in OPEN_STATES and not _is_abandoned(render):
            return render
        if render.state == RenderState.READY:
            is_same = bool(recipe and render.recipe and render.recipe.digest == recipe.digest)
            return render if is_same and render.trigger_words == version.trigger_words else None
    return None


def _is_abandoned(render: Render) -> bool:
    """End a render whose job is over without having said so (cancelled, given up)."""
    job = render.job
    if job is None or job.state in {JobState.QUEUED, JobState.RUNNING}:
        return False
    fail(render=render, reason=job.reason)
    return True


def _unwait(render: Render, recipe: RecipeValue) -> Render:
    with transaction.atomic():
        mine = Render.objects.filter(pk=render.pk, state=RenderState.WAITING)
        if mine.update(recipe=recipes.stored(recipe), state=RenderState.QUEUED, reason=""):
            render.refresh_from_db()
            _enqueue(render)
    render.refresh_from_db()
    return render


def _enqueue(render: Render) -> None:
    job = queue.enqueue(
        queue=QUEUE,
        task=RENDER_TASK,
        args={"render_id": render.pk},
        key=f"{RENDER_TASK}:{render.pk}",
    )
    Render.objects.filter(pk=render.pk).update(job=job)
    render.job = job


def _waiting(family: str) -> str:
    if not family:
        return _("waiting for somebody to say which base model this is made for")
    return _("waiting for a worker for %(family)s") % {"family": family_title(family)}


def wake_waiting() -> int:
    """Queue waiting renders that a base now serves; returns how many."""
    served = load_bases(settings.LORARY.bases).families
    waiting = Render.objects.filter(state=RenderState.WAITING, version__family__in=served)
    versions = [row.version for row in waiting.select_related("version__adapter") if row.version]
    return sum(begin(version=version).state == RenderState.QUEUED for version in versions)


def begin_missing() -> None:
    """Begin renders of published versions that have none: a process died before it could ask."""
    without = Version.objects.filter(state=VersionState.PUBLISHED, renders__isnull=True)
    for version in list(without.select_related("adapter")):
        begin(version=version)


def start(*, render: Render) -> bool:
    """Mark a render as running; False when there is nothing left to do."""
    mine = Render.objects.filter(pk=render.pk, state__in=[RenderState.QUEUED, RenderState.RUNNING])
    return mine.update(state=RenderState.RUNNING, reason="") == 1


def finish(*, render: Render) -> None:
    """Mark a render as ready."""
    Render.objects.filter(pk=render.pk).update(
        state=RenderState.READY, reason="", finished_at=timezone.now()
    )


def fail(*, render: Render, reason: str) -> None:
    """End a render for the stated reason; pictures made before stay with it."""
    Render.objects.filter(pk=render.pk, state__in=OPEN_STATES).update(
        state=RenderState.FAILED,
        reason=reason or _("The pictures could not be made."),
        finished_at=timezone.now(),
    )


def wait(*, render: Render) -> None:
    """Put a render back to waiting: the base it was queued for has gone."""
    reason = _waiting(render.family)
    mine = Render.objects.filter(pk=render.pk, state__in=OPEN_STATES)
    mine.update(state=RenderState.WAITING, reason=reason, job=None)


def heard_of_publication(version_id: int) -> None:
    """Queue previews of a version that has just been published.

    A broken bases file must not undo a publication: it is logged, and ``manage.py doctor`` and
    the next request say what is wrong with it.
    """
    try:
        begin(version=Version.objects.select_related("adapter").get(pk=version_id))
    except RenderError:
        log.exception("no previews for version %s", version_id)
