"""Every write of the previews: ask for pictures, keep them, say how it ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from lorary.anatomy import family_title
from previews.models import OPEN_STATES, Image, Recipe, Render, RenderState
from previews.render import Recipe as RecipeValue
from previews.render import RenderError, load_bases
from previews.render.defaults import default_recipe
from registry import queue, storage
from registry.errors import StateConflict
from registry.models import Blob, JobState, Version, VersionState
from registry.services import access

if TYPE_CHECKING:
    from collections.abc import Sequence

    from previews.render.engine import Picture
    from registry.models import User

__all__ = [
    "QUEUE",
    "RENDER_TASK",
    "begin",
    "begin_missing",
    "fail",
    "finish",
    "heard_of_publication",
    "keep",
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
    recipe = _recipe_for(version)
    same = _same(version, recipe)
    if same is not None:
        return same
    try:
        with transaction.atomic():
            render = Render.objects.create(
                version=version,
                recipe=_stored(recipe) if recipe else None,
                state=RenderState.QUEUED if recipe else RenderState.WAITING,
                reason="" if recipe else _waiting(version.family),
                trigger_words=version.trigger_words,
            )
            if recipe:
                _enqueue(render)
    except IntegrityError:  # asked for twice at once: the constraint let one through
        return version.renders.get(state__in=OPEN_STATES)
    return render


def _recipe_for(version: Version) -> RecipeValue | None:
    base = load_bases(settings.LORARY.bases).serving(version.family)
    return default_recipe(base, version.adapter.kind) if base else None


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
        if mine.update(recipe=_stored(recipe), state=RenderState.QUEUED, reason=""):
            render.refresh_from_db()
            _enqueue(render)
    render.refresh_from_db()
    return render


def _stored(recipe: RecipeValue) -> Recipe:
    row, _created = Recipe.objects.get_or_create(
        digest=recipe.digest, defaults={"document": recipe.to_dict()}
    )
    return row


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
    count = 0
    for render in waiting.select_related("version__adapter"):
        count += begin(version=render.version).state == RenderState.QUEUED
    return count


def begin_missing() -> None:
    """Begin renders of published versions that have none: a process died before it could ask."""
    without = Version.objects.filter(state=VersionState.PUBLISHED, renders__isnull=True)
    for version in list(without.select_related("adapter")):
        begin(version=version)


def start(*, render: Render) -> bool:
    """Mark a render as running; False when there is nothing left to do."""
    mine = Render.objects.filter(pk=render.pk, state__in=[RenderState.QUEUED, RenderState.RUNNING])
    return mine.update(state=RenderState.RUNNING, reason="") == 1


def keep(*, render: Render, pictures: Sequence[Picture]) -> None:
    """Store finished pictures; those that are there already stay as they are.

    Bytes first, rows after, all rows of a call in one transaction: a worker killed in between
    leaves bytes that the sweeper finds, and no picture twice.
    """
    written = [(picture, storage.put([picture.png])) for picture in pictures]
    with transaction.atomic():
        for picture, stored in written:
            blob, created = Blob.objects.get_or_create(
                sha256=stored.sha256, defaults={"size_bytes": stored.size}
            )
            if not created:
                Blob.objects.filter(pk=blob.pk).update(is_stored=True, unreferenced_since=None)
            Image.objects.get_or_create(
                render=render,
                prompt_index=picture.shot.prompt_index,
                seed=picture.shot.seed,
                strength=picture.shot.strength,
                defaults={
                    "blob": blob,
                    "position": picture.shot.position,
                    "prompt": picture.shot.prompt,
                    "width": picture.width,
                    "height": picture.height,
                },
            )


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
    reason = _waiting(render.version.family)
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
