"""Renders: asked for, begun, and ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from previews import worker_bases
from previews.models import OPEN_STATES, Image, Recipe, Render, RenderKind, RenderState
from previews.pictures import derivatives
from previews.pictures import services as blobs
from previews.recipes import selectors
from previews.render import RenderError
from previews.renders.messages import no_renderer, waiting_for
from registry.accounts import permissions
from registry.errors import StateConflict
from registry.jobs import queue
from registry.models import OUT_STATES, Job, JobState, Version, VersionState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from previews.render import Recipe as RecipeValue
    from previews.render.pictures import Picture
    from registry.models import User

__all__ = [
    "RENDER_TASK",
    "begin",
    "begin_missing",
    "cancel",
    "enqueue",
    "fail",
    "finish",
    "keep_pictures",
    "on_version_published",
    "request",
    "sort_old",
    "start",
    "store_recipe",
    "wait",
    "wake_waiting",
]

RENDER_TASK = "render_version"

log = logging.getLogger(__name__)


def request(*, actor: User, version: Version) -> Render:
    """Ask for the previews of a version; one under way, or ready by this recipe, is returned.

    Raises:
        StateConflict: only published versions are rendered, and only those whose base model
            somebody here has.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    permissions.require_adapter(actor, version.adapter)
    if version.state not in OUT_STATES:
        raise StateConflict(_("Only published versions are rendered."), state=version.state)
    if selectors.recipe_for(version) is None:
        raise StateConflict(no_renderer(version.family), state=RenderState.WAITING)
    return begin(version=version, priority=queue.ASKED)


def begin(*, version: Version, priority: int = queue.BATCH) -> Render:
    """Queue the recipe of a version, or write down what it waits for.

    One under way is returned, with that recipe if it has not begun, or the one that made the
    pictures which are there.
    """
    recipe = selectors.recipe_for(version)
    same = _same(version, recipe, priority)
    if same is not None:
        return same
    try:
        with transaction.atomic():
            render = Render.objects.create(
                version=version,
                recipe=store_recipe(recipe) if recipe else None,
                state=RenderState.QUEUED if recipe else RenderState.WAITING,
                reason="" if recipe else waiting_for(version.family),
                trigger_words=version.trigger_words,
            )
            if recipe:
                reuse_pictures(render=render)
                enqueue(render=render, priority=priority)
    except IntegrityError:  # asked for twice at once: the constraint let one through
        return version.renders.get(state__in=OPEN_STATES)
    return render


def _same(version: Version, recipe: RecipeValue | None, priority: int) -> Render | None:
    """Return a render that makes a new one needless; an open one whose job died is none."""
    for render in version.renders.select_related("job", "recipe"):
        if render.state in OPEN_STATES and not _is_abandoned(render):
            return _aimed(render, version, recipe, priority) if recipe else render
        if render.state == RenderState.READY:
            return render if selectors.is_by(render, version, recipe) else None
    return None


def _is_abandoned(render: Render) -> bool:
    """End a render whose job is over without having said so (cancelled, given up)."""
    job = render.job
    if job is None or job.state in {JobState.QUEUED, JobState.RUNNING}:
        return False
    fail(render=render, reason=job.reason)
    return True


def _aimed(render: Render, version: Version, recipe: RecipeValue, priority: int) -> Render:
    """Give a render that has not begun today's recipe and words; one that runs is let alone.

    When that one is done, ``finish`` begins another.
    """
    is_same = selectors.is_by(render, version, recipe)
    if render.state == RenderState.RUNNING or (is_same and render.state == RenderState.QUEUED):
        return render
    with transaction.atomic():
        mine = Render.objects.filter(
            pk=render.pk, state__in=[RenderState.WAITING, RenderState.QUEUED]
        )
        if mine.update(
            recipe=store_recipe(recipe),
            trigger_words=version.trigger_words,
            state=RenderState.QUEUED,
            reason="",
        ):
            render.refresh_from_db()
            if not is_same:
                render.images.all().delete()  # of an attempt that a base went away from
                reuse_pictures(render=render)
            enqueue(render=render, priority=priority)
    render.refresh_from_db()
    return render


def enqueue(*, render: Render, priority: int = queue.BATCH) -> None:
    """Queue a render; somebody waits for a try-out, so it goes before all previews."""
    job = queue.enqueue(
        queue=worker_bases.queue_of(render.family),
        task=RENDER_TASK,
        args={"render_id": render.pk},
        key=_key(render),
        priority=queue.INTERACTIVE if render.kind == RenderKind.TRYOUT else priority,
        owner=_owner(render),
    )
    Render.objects.filter(pk=render.pk).update(job=job)
    render.job = job


def _key(render: Render) -> str:
    return f"{RENDER_TASK}:{render.pk}"


def _owner(render: Render) -> str:
    """Return with whom others take turns: who tries a stack, or the namespace of an adapter."""
    if render.kind == RenderKind.TRYOUT:
        return render.tryout.user.username
    return render.version.adapter.owner if render.version else ""


def wake_waiting() -> int:
    """Queue waiting renders that a base now serves; returns how many."""
    served = worker_bases.families()
    waiting = Render.objects.filter(state=RenderState.WAITING, version__family__in=served)
    versions = [row.version for row in waiting.select_related("version__adapter") if row.version]
    return sum(begin(version=version).state == RenderState.QUEUED for version in versions)


def sort_old() -> None:
    """Move jobs that were queued before families had queues to those of their families."""
    rows = Render.objects.filter(job__queue=worker_bases.KIND, job__state=JobState.QUEUED)
    for render in rows.select_related("version"):
        mine = Job.objects.filter(renders=render, state=JobState.QUEUED)
        mine.update(queue=worker_bases.queue_of(render.family))


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
    """Mark a render as ready; what was changed while it ran is rendered next."""
    mine = Render.objects.filter(pk=render.pk, state=RenderState.RUNNING)
    mine.update(state=RenderState.READY, reason="", finished_at=timezone.now())
    rows = Version.objects.filter(renders=render, state__in=OUT_STATES)
    version = rows.select_related("adapter").first()
    if version is not None and selectors.is_outrun(render, version):
        _begin_quietly(version)


def fail(*, render: Render, reason: str) -> None:
    """End a render for the stated reason; pictures made before stay with it."""
    Render.objects.filter(pk=render.pk, state__in=OPEN_STATES).update(
        state=RenderState.FAILED,
        reason=reason or _("The pictures could not be made."),
        finished_at=timezone.now(),
    )


def cancel(*, render: Render, reason: str) -> None:
    """End a render that is not over for the stated reason, its job before the next step."""
    queue.cancel(_key(render))
    fail(render=render, reason=reason)


def wait(*, render: Render) -> None:
    """Put a render back to waiting: the base it was queued for has gone."""
    reason = waiting_for(render.family)
    mine = Render.objects.filter(pk=render.pk, state__in=OPEN_STATES)
    mine.update(state=RenderState.WAITING, reason=reason, job=None)


def on_version_published(version_id: int) -> None:
    """Queue previews of a version that has just been published, or is called by other words."""
    _begin_quietly(Version.objects.select_related("adapter").get(pk=version_id))


def _begin_quietly(version: Version) -> None:
    """Begin a render beside something else, which a broken bases file must not undo.

    It is logged; ``manage.py doctor`` and the next request say what is wrong with it.
    """
    try:
        begin(version=version)
    except RenderError:
        log.exception("no previews for version %s", version.pk)


def keep_pictures(*, render: Render, pictures: Sequence[Picture]) -> None:
    """Store finished pictures, videos with their animation; those that are there stay as they are.

    Their smaller forms are made by somebody else: rendering goes on.

    Bytes first, rows after, all rows of a call in one transaction: a worker killed in between
    leaves bytes that the sweeper finds, and no picture twice.
    """
    written = [(picture.shot, blobs.kept(picture)) for picture in pictures]
    with transaction.atomic():
        images = []
        for shot, kept in written:
            image, _is_new = Image.objects.get_or_create(
                render=render,
                prompt_index=shot.prompt_index,
                seed=shot.seed,
                strength=shot.strength,
                defaults={**kept.columns(), "position": shot.position, "prompt": shot.prompt},
            )
            images.append(image.pk)
        derivatives.begin(images=images)


def reuse_pictures(*, render: Render) -> None:
    """Give a new render of a version all pictures of an earlier one by the same recipe and words.

    So the way back to a recipe of before costs nothing.
    """
    earlier = Render.objects.filter(
        version=render.version,
        recipe=render.recipe,
        trigger_words=render.trigger_words,
        state=RenderState.READY,
    ).first()
    if earlier is None or earlier.images.filter(blob__is_stored=False).exists():
        return
    images = list(earlier.images.all())
    for image in images:
        image.pk, image.render = None, render
    Image.objects.bulk_create(images, ignore_conflicts=True)


def store_recipe(recipe: RecipeValue) -> Recipe:
    """Return the row of a recipe, written on its first use."""
    row, _created = Recipe.objects.get_or_create(
        digest=recipe.digest, defaults={"document": recipe.to_dict()}
    )
    return row
