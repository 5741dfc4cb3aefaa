"""Creates and updates renders: requests, states, pictures."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from previews import worker_bases
from previews.derived import opened, placeholder
from previews.models import OPEN_STATES, Image, Recipe, Render, RenderKind, RenderState, Tryout
from previews.pictures.services import checked_rating, store
from previews.recipes import selectors
from previews.recipes.selectors import Planned
from previews.render import Recipe as RecipeValue
from previews.render import RenderError
from previews.render.pictures import Picture
from previews.renders import selectors as render_selectors
from previews.renders.messages import no_renderer, waiting_for
from registry import events
from registry.accounts import permissions
from registry.errors import NotFound, StateConflict
from registry.jobs import queue
from registry.models import OPEN_JOB_STATES, OUT_STATES, User, Version, VersionState


def rate(*, actor: User, image_id: int, maturity: str) -> Image:
    """Set the content rating of a rendered picture; "" means that of its adapter.

    Its owner and administrators may do that.

    Raises:
        NotFound: the picture does not exist, or the actor cannot see its version.
        Forbidden, Unauthenticated, Gone: see ``permissions.require_adapter``.
        Invalid: the rating does not exist.
    """
    user = permissions.require_user(actor)
    image = Image.objects.filter(pk=image_id).first()
    if image is None:
        raise NotFound(_("There is no such picture."))
    version = render_selectors.render(user, image.render_id).version
    if version is None:
        raise NotFound(_("There is no such picture."))
    permissions.require_owner_or_operator(user, version.adapter)
    permissions.require_standing(version.adapter)
    image.maturity = checked_rating(maturity)
    with transaction.atomic():
        image.save(update_fields=["maturity"])
        events.record(
            actor=user,
            verb="picture_rated",
            about=version.adapter,
            subject=version.name,
            image=image.pk,
            maturity=image.maturity,
        )
    return image


RENDER_TASK = "render_version"
#: The same for recipes with literal prompts, which workers of an earlier release cannot read: they
#: leave jobs of tasks that they do not know to others.
LITERAL_TASK = "render_literally"
#: Maximum number of renders that one attempt of a job starts.
AT_ONCE = 200

log = logging.getLogger(__name__)


def request(*, actor: User, version: Version) -> Render:
    """Request previews of a version and return the render; see ``begin``.

    Raises:
        StateConflict: the version is not published, or no worker has its base model.
        NotFound, Forbidden, Unauthenticated: see ``permissions.require_adapter``.
    """
    user = permissions.require_adapter(actor, version.adapter)
    if version.state not in OUT_STATES:
        raise StateConflict(_("Only published versions are rendered."), state=version.state)
    if selectors.recipe_for(version) is None:
        raise StateConflict(no_renderer(version.family), state=RenderState.WAITING)
    with transaction.atomic():
        render = begin(version=version, priority=queue.ASKED)
        events.record(
            actor=user,
            verb="render_requested",
            about=version.adapter,
            subject=version.name,
            render=render.pk,
        )
    return render


def begin(*, version: Version, priority: int = queue.BATCH) -> Render:
    """Begin renders of a version by its current recipes; return that with the first base model.

    With each base model, an open render is kept; if it has not started, it gets the current recipe.
    Those of the first base model come before all others, unless they were asked for. Without a
    base model the render waits for one.
    """
    planned = selectors.planned_for(version)
    if not planned:
        return _begin_waiting(version)
    served = [one.base.id for one in planned]
    later = priority if priority == queue.ASKED else queue.RENEWAL
    begun = [_begin(version, one, served, later if one.rank else priority) for one in planned]
    return begun[0]


def _begin(version: Version, planned: Planned, served: Collection[str], priority: int) -> Render:
    existing = _existing(version, planned, served, priority)
    if existing is not None:
        return existing
    try:
        with transaction.atomic():
            render = Render.objects.create(
                version=version,
                recipe=store_recipe(planned.recipe),
                state=RenderState.QUEUED,
                trigger_words=version.trigger_words,
                **planned.columns,
            )
            _reuse_pictures(render=render)
            enqueue(render=render, priority=priority)
    except IntegrityError:  # two requests at once: the constraint lets one through
        return version.renders.get(state__in=OPEN_STATES, base=planned.base.id)
    return render


def _begin_waiting(version: Version) -> Render:
    """Return the last render, or one that waits for a base model."""
    for render in version.renders.select_related("job", "recipe"):
        if render.state in OPEN_STATES and not fail_abandoned(render):
            return render
        if render.state == RenderState.READY:
            break
    try:
        with transaction.atomic():
            return Render.objects.create(
                version=version,
                state=RenderState.WAITING,
                reason=waiting_for(version.family),
                trigger_words=version.trigger_words,
            )
    except IntegrityError:  # as above
        return version.renders.get(state__in=OPEN_STATES, base="")


def _existing(
    version: Version, planned: Planned, served: Collection[str], priority: int
) -> Render | None:
    """Return the open render, or the last one if it is ready and by this recipe."""
    for render in selectors.renders_by(version, planned, served):
        if render.state in OPEN_STATES and not fail_abandoned(render):
            return _updated(render, version, planned, priority)
        if render.state == RenderState.READY:
            is_same = selectors.was_made_by(render, version, planned.recipe)
            return render if is_same else None
    return None


def fail_abandoned(render: Render) -> bool:
    """Return whether a render's job was cancelled or given up; the render then fails."""
    job = render.job
    if job is None or job.state in OPEN_JOB_STATES:
        return False
    fail(render=render, reason=job.reason)
    return True


def _updated(render: Render, version: Version, planned: Planned, priority: int) -> Render:
    """Give a render that has not started the current recipe and trigger words.

    A running render is not changed; when it is done, ``finish`` starts another one.
    """
    is_same = selectors.was_made_by(render, version, planned.recipe)
    if render.state == RenderState.RUNNING or (is_same and render.state == RenderState.QUEUED):
        return render
    with transaction.atomic():
        mine = Render.objects.filter(
            pk=render.pk, state__in=[RenderState.WAITING, RenderState.QUEUED]
        )
        if mine.update(
            recipe=store_recipe(planned.recipe),
            trigger_words=version.trigger_words,
            state=RenderState.QUEUED,
            reason="",
            **planned.columns,
        ):
            render.refresh_from_db()
            if not is_same:
                render.images.all().delete()  # made before the render went back to waiting
                _reuse_pictures(render=render)
            enqueue(render=render, priority=priority)
    render.refresh_from_db()
    return render


def enqueue(*, render: Render, priority: int = queue.BATCH, owner: str = "") -> None:
    """Queue a render; try-outs run before all others, because somebody waits for them.

    Args:
        render: The render.
        priority: Of a preview.
        owner: Whose turn it takes; by default that of its user or namespace.
    """
    is_tryout = render.kind == RenderKind.TRYOUT
    job = queue.enqueue(
        queue=worker_bases.queue_of(render.family),
        task=_task_of(render),
        args={"render_id": render.pk},
        key=_key(render),
        priority=_tryout_priority(render.tryout) if is_tryout else priority,
        owner=owner or _owner(render),
    )
    Render.objects.filter(pk=render.pk).update(job=job)
    render.job = job


def _tryout_priority(tryout: Tryout) -> int:
    return queue.VISITOR if tryout.user_id is None else queue.INTERACTIVE


def _task_of(render: Render) -> str:
    is_literal = render.recipe is not None and render.recipe.document.get("trigger") == "literal"
    return LITERAL_TASK if is_literal else RENDER_TASK


def _key(render: Render) -> str:
    return f"{RENDER_TASK}:{render.pk}"


def _owner(render: Render) -> str:
    """Return the owner for fair queueing: the user of a try-out, else the owner's namespace."""
    if render.kind == RenderKind.TRYOUT:
        user = render.tryout.user
        return user.username if user is not None else ""
    if render.pack_version is not None:
        return render.pack_version.pack.owner
    return render.version.adapter.owner if render.version else ""


def wake_waiting(*, after: int = 0) -> int:
    """Queue the next waiting renders whose base model is now available, by id.

    Returns the id of the last one; 0 if there are no more.
    """
    waiting = Render.objects.filter(
        state=RenderState.WAITING, version__family__in=worker_bases.families(), pk__gt=after
    )
    last = 0
    for render in waiting.select_related("version__adapter").order_by("pk")[:AT_ONCE]:
        if render.version is not None:
            begin(version=render.version)
        last = render.pk
    return last


def rank_bases() -> int:
    """Write the current places of the served base models to renders; return how many changed."""
    return sum(
        Render.objects.filter(base=base.id, version__family=family)
        .exclude(rank=rank)
        .update(rank=rank)
        for family in sorted(worker_bases.families())
        for rank, base in enumerate(worker_bases.bases_for(family))
    )


def begin_missing(*, after: int = 0) -> int:
    """Start renders of the next published versions without one, in the order of ids.

    The process that published them died before it could, or a base model was added since. Returns
    the id of the last one, 0 if there are no more, or if previews are off.
    """
    if worker_bases.are_previews_off():
        return 0
    own = Render.objects.filter(version=OuterRef("pk"))
    is_missing = Q(~Exists(own))
    for base in worker_bases.bases():
        is_missing |= Q(~Exists(own.filter(base=base.id)), family=base.family)
    without = Version.objects.filter(is_missing, state=VersionState.PUBLISHED, pk__gt=after)
    last = 0
    for version in without.select_related("adapter").order_by("pk")[:AT_ONCE]:
        is_first = not version.renders.exists()
        begin(version=version, priority=queue.BATCH if is_first else queue.RENEWAL)
        last = version.pk
    return last


def start(*, render: Render) -> bool:
    """Mark a render as running; return False if it is over."""
    mine = Render.objects.filter(pk=render.pk, state__in=[RenderState.QUEUED, RenderState.RUNNING])
    return mine.update(state=RenderState.RUNNING, reason="") == 1


def finish(*, render: Render) -> None:
    """Mark a render as ready; start another one if words, prompts or strengths were changed."""
    mine = Render.objects.filter(pk=render.pk, state=RenderState.RUNNING)
    mine.update(state=RenderState.READY, reason="", finished_at=timezone.now())
    rows = Version.objects.filter(renders=render, state__in=OUT_STATES)
    version = rows.select_related("adapter").first()
    if version is not None and selectors.is_outdated(render, version):
        _begin_or_log(version)


def fail(*, render: Render, reason: str) -> None:
    """Mark an open render as failed; its pictures are kept."""
    Render.objects.filter(pk=render.pk, state__in=OPEN_STATES).update(
        state=RenderState.FAILED,
        reason=reason or _("The pictures could not be rendered."),
        finished_at=timezone.now(),
    )


def cancel(*, render: Render, reason: str) -> None:
    """Mark an open render as failed and stop its job before the next step."""
    queue.cancel(_key(render))
    fail(render=render, reason=reason)


def wait(*, render: Render) -> None:
    """Return a render to waiting, because its base model is no longer available."""
    reason = waiting_for(render.family)
    mine = Render.objects.filter(pk=render.pk, state__in=OPEN_STATES)
    mine.update(state=RenderState.WAITING, reason=reason, job=None)


def on_version_published(version_id: int) -> None:
    """Start previews of a version that was published or whose trigger words changed.

    While previews are off, no first render is written: the start of a worker with a base model
    begins what is missing. A version that has one gets a new one, as its pictures may be outdated.
    """
    has_renders = Render.objects.filter(version=version_id).exists()
    if not has_renders and worker_bases.are_previews_off():
        return
    _begin_or_log(Version.objects.select_related("adapter").get(pk=version_id))


def _begin_or_log(version: Version) -> None:
    """Start a render; log an invalid bases file, which must not undo the caller's change."""
    try:
        begin(version=version)
    except RenderError:
        log.exception("no previews for version %s", version.pk)


def keep_pictures(*, render: Render, pictures: Sequence[Picture]) -> None:
    """Store the finished pictures that a render does not have yet.

    The bytes are stored before the rows. If the worker is killed in between, the sweeper deletes
    the bytes.
    """
    stored = [(one.shot, store(one), placeholder(opened(one.png))) for one in pictures]
    with transaction.atomic():
        for shot, columns, blur in stored:
            about = {"position": shot.position, "prompt": shot.prompt, "placeholder": blur}
            Image.objects.get_or_create(
                render=render,
                prompt_index=shot.prompt_index,
                seed=shot.seed,
                strength=shot.strength,
                defaults={**columns(), **about},
            )


def _reuse_pictures(*, render: Render) -> None:
    """Copy the pictures of an earlier render with the same recipe and trigger words."""
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
    """Return the row of a recipe, created on first use."""
    row, _created = Recipe.objects.get_or_create(
        digest=recipe.digest, defaults={"document": recipe.to_dict()}
    )
    return row
