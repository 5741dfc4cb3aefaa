"""Creates, shares, removes and expires try-outs."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from previews import worker_bases
from previews.models import (
    OPEN_STATES,
    Image,
    Layer,
    Recipe,
    Render,
    RenderKind,
    RenderState,
    Sheet,
    Tryout,
)
from previews.render import Base
from previews.render import Recipe as RecipeValue
from previews.render.recipe import MAX_SEED
from previews.renders import services as renders
from previews.renders.messages import no_renderer
from previews.tryouts import requests as checks
from previews.tryouts import selectors
from previews.tryouts.requests import TryoutRequest
from registry import events
from registry.accounts import permissions
from registry.database.row_locks import locked
from registry.errors import Forbidden, Invalid, NotFound, RateLimited, StateConflict
from registry.models import Adapter, JobState, User

DAY = timedelta(days=1)
#: ``Retry-After`` if too many try-outs are open.
_RETRY_S = 10


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A checked request."""

    request: TryoutRequest
    base: Base
    recipe: RecipeValue
    words: list[str]


def create(*, actor: User, request: TryoutRequest) -> Tryout:
    """Queue a try-out; see ``create_group``."""
    return create_group(actor=actor, requests=[request])


def create_group(*, actor: User, requests: Sequence[TryoutRequest], mix: str = "") -> Tryout:
    """Queue try-outs with the same seed, which only their user can see until they are shared.

    Args:
        actor: Who requests them.
        requests: One for each stack.
        mix: Query string of the mixer that shows them.

    Returns:
        The first one. All of them are shown, shared and removed together.

    Raises:
        Unauthenticated, ScopeMissing: see ``permissions.require_scope``.
        Forbidden: the token is bound, and the stack does not include what it is bound to.
        Invalid, NotFound, StateConflict: see ``requests.require_stack`` and ``recipe_of``; also
            if there is no base model for the family, or a day does not allow so many.
        RateLimited: the user has too many open try-outs, or too many in 24 hours.
    """
    user = permissions.require_scope(actor, "write")
    seed = secrets.randbelow(MAX_SEED + 1)
    seeded = [replace(one, seed=seed) if one.seed is None else one for one in requests]
    prepared = [_prepare(user, request) for request in seeded]
    with transaction.atomic():
        require_room(user, len(prepared))
        first = _queue(user, prepared[0], mix=mix)
        for one in prepared[1:]:
            _queue(user, one, first=first)
    return first


def _prepare(user: User, request: TryoutRequest) -> _Prepared:
    require_covered(user, [version.adapter for version, _strength in request.layers])
    family = checks.require_stack(user, request.layers)
    base = worker_bases.base_for(family)
    if base is None:
        raise StateConflict(no_renderer(family), state=RenderState.WAITING)
    return _Prepared(request, base, *checks.recipe_of(request, base))


def _queue(user: User, one: _Prepared, **group: Any) -> Tryout:  # noqa: ANN401 - columns
    layers = [
        Layer(position=position, version=version, strength=strength)
        for position, (version, strength) in enumerate(one.request.layers)
    ]
    render = render_of(one.recipe, one.base, layers, one.words)
    return begin(tryout=Tryout(user=user, render=render, **group))


def render_of(
    recipe: RecipeValue, base: Base, layers: Sequence[Layer], words: Sequence[str] = ()
) -> Render:
    """Create the render of a try-out with layers, which are not saved yet."""
    render = Render.objects.create(
        kind=RenderKind.TRYOUT,
        recipe=renders.store_recipe(recipe),
        trigger_words=list(words),
        base=base.id,
        output=base.output,
    )
    for layer in layers:
        layer.render = render
    Layer.objects.bulk_create(layers)
    return render


def begin(*, tryout: Tryout, owner: str = "") -> Tryout:
    """Save a try-out that has its render, and queue that; call it in a transaction.

    Args:
        tryout: It is not saved yet.
        owner: See ``renders.enqueue``.
    """
    tryout.expires_at = timezone.now() + timedelta(days=settings.LORARY.tryout_days)
    tryout.save()
    renders.enqueue(render=tryout.render, owner=owner)
    record(tryout.user, "tryout_created", tryout)
    return tryout


def record(actor: User | AnonymousUser | None, verb: str, tryout: Tryout, **facts: Any) -> None:  # noqa: ANN401 - JSON
    """Record an event of a try-out."""
    version = tryout.pack_version
    pack = version.pack if version is not None else None
    events.record(actor=actor, verb=verb, about=pack, subject=str(tryout.key), **facts)


def require_covered(user: User, adapters: Iterable[Adapter]) -> None:
    """Raise ``Forbidden`` for a stack that a bound token could not see afterwards."""
    token = user.access_token
    if token is not None and not any(token.covers(one.namespace, one) for one in adapters):
        text = _("This token is limited to “%(bound)s”. Add an adapter within that limit to the "
                 "stack, or use another token.")  # fmt: skip
        raise Forbidden(text % {"bound": token.bound_to}, bound_to=token.bound_to)


def require_room(user: User, count: int = 1) -> None:
    """Raise ``RateLimited`` if the user has requested too many; call it in the transaction.

    A group counts once as open, and with all its try-outs for 24 hours. Removed try-outs also
    count, because removing them would otherwise avoid the limit.
    """
    locked(User.objects.all()).get(pk=user.pk)  # concurrent requests wait here
    limits, now = settings.LORARY, timezone.now()
    per_day = limits.tryouts_per_day
    if count > per_day:
        text = _("These are %(count)d pictures; the limit is %(n)d in 24 hours. Request fewer.")
        raise Invalid(text % {"count": count, "n": per_day})
    mine = Tryout.objects.filter(user=user)
    if _open_groups(mine) >= limits.tryouts_open:
        n = limits.tryouts_open
        text = ngettext(
            "One try-out at a time. Wait until yours is done, or remove it.",
            "At most %(n)d try-outs at a time. Wait until one is done, or remove one.",
            n,
        )
        raise RateLimited(text % {"n": n}, retry_after=_RETRY_S, limit=n)
    today = mine.filter(created_at__gt=now - DAY).order_by("-created_at")
    # The try-out that must be older than a day before so many fit.
    oldest = today[per_day - count : per_day - count + 1].values_list("created_at", flat=True)
    if (began := oldest.first()) is not None:
        wait = max(1, round((began + DAY - now).total_seconds()))
        text = _("You have reached the limit of %(n)d try-outs in 24 hours. Try again later.")
        raise RateLimited(text % {"n": per_day}, retry_after=wait, limit=per_day)


def _open_groups(tryouts: QuerySet[Tryout]) -> int:
    """Return how many groups are open, without those whose jobs failed or were cancelled."""
    ended = [JobState.FAILED, JobState.CANCELLED]
    rows = tryouts.filter(render__state__in=OPEN_STATES).exclude(render__job__state__in=ended)
    return rows.order_by().values(group=Coalesce("first_id", "pk")).distinct().count()


def set_shared(*, actor: User, key: UUID, is_shared: bool) -> Tryout:
    """Share a try-out and its group with everyone who has its address, or stop sharing it.

    Raises:
        NotFound: it does not exist, or is another user's.
        Unauthenticated, ScopeMissing: see ``permissions.require_scope``.
    """
    user = permissions.require_scope(actor, "write")
    tryout = selectors.get(user, key)
    if tryout.user_id != user.pk:
        raise NotFound(_("Only the user who requested a try-out can share it."))
    with transaction.atomic():
        selectors.group_of(tryout).update(is_shared=is_shared)
        record(user, "tryout_shared" if is_shared else "tryout_unshared", tryout)
    tryout.is_shared = is_shared
    return tryout


def remove(*, actor: User, key: UUID) -> None:
    """Stop a try-out and its group, and delete their pictures.

    The rows are kept while they count for the limit.

    A user can remove a try-out even if its adapters have become hidden.

    Raises:
        NotFound: it does not exist, or is another user's.
        Unauthenticated, ScopeMissing: see ``permissions.require_scope``.
    """
    user = permissions.require_scope(actor, "write")
    mine = Tryout.objects.filter(selectors.own(user), expires_at__gt=timezone.now())
    tryout = mine.filter(key=key).first()
    if tryout is None:
        raise NotFound(_("There is no such try-out. It may have expired."))
    end(actor=user, tryout=tryout)


def end(*, actor: User | AnonymousUser | None, tryout: Tryout) -> None:
    """Stop a try-out and its group, and delete their pictures."""
    group = selectors.group_of(tryout)
    with transaction.atomic():
        group.update(expires_at=timezone.now(), is_shared=False)
        for one in group.select_related("render"):
            discard(render=one.render, reason=_("Removed."))
        record(actor, "tryout_removed", tryout)


def discard(*, render: Render, reason: str) -> None:
    """Cancel the render of a stack, and delete its pictures and its sheet."""
    renders.cancel(render=render, reason=reason)
    Image.objects.filter(render=render).delete()
    Sheet.objects.filter(render=render).delete()


def expire() -> int:
    """Delete expired try-outs; return how many. The sweeper deletes their bytes."""
    now = timezone.now()
    over = Tryout.objects.filter(expires_at__lte=now).select_related("render")
    for tryout in list(over.filter(render__state__in=OPEN_STATES)):
        renders.cancel(render=tryout.render, reason=_("Expired."))
    Image.objects.filter(render__tryout__in=over).delete()
    uncounted = list(over.filter(created_at__lte=now - DAY))
    used = [pk for tryout in uncounted if (pk := tryout.render.recipe_id) is not None]
    Render.objects.filter(tryout__in=uncounted).delete()
    # Prompts are deleted too, unless another (perhaps newer) render has the same recipe.
    with suppress(IntegrityError):
        Recipe.objects.filter(pk__in=used, renders__isnull=True).delete()
    return len(uncounted)


def wake_waiting() -> int:
    """Queue waiting try-outs whose base model is available again; return how many."""
    rows = Render.objects.filter(kind=RenderKind.TRYOUT, state=RenderState.WAITING)
    waiting = list(rows.select_related("recipe"))
    families = {row.family for row in waiting}
    served = {base.id for family in families for base in worker_bases.bases_for(family)}
    return sum(
        _requeue(row.pk) for row in waiting if row.recipe and row.recipe.document["base"] in served
    )


def _requeue(render_id: int) -> bool:
    with transaction.atomic():
        mine = Render.objects.filter(pk=render_id, state=RenderState.WAITING)
        if not mine.update(state=RenderState.QUEUED, reason=""):
            return False
        render = Render.objects.select_related("job").get(pk=render_id)
        renders.enqueue(render=render, owner=render.job.owner if render.job else "")
    return True
