"""Try-outs: stacks that somebody renders before downloading anything."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction
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
    Tryout,
)
from previews.renders import services as renders
from previews.renders.messages import waiting_for
from previews.tryouts import requests, selectors
from registry.accounts import permissions
from registry.errors import Forbidden, NotFound, RateLimited, StateConflict
from registry.models import JobState, User

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet

    from previews.tryouts.requests import TryoutRequest

__all__ = ["ask", "empty", "expire", "remove", "set_shared", "wake_waiting"]

DAY = timedelta(days=1)
#: Seconds after which an open try-out may have ended; nobody knows exactly.
_SOON_S = 10


def ask(*, actor: User, wish: TryoutRequest) -> Tryout:
    """Queue the picture of a stack for its asker alone.

    Raises:
        Unauthenticated, ScopeMissing: see ``permissions.require_scope``.
        Forbidden: the token is bound, and no layer is of what it is bound to.
        Invalid, NotFound, StateConflict: see ``require_stack`` and ``recipe_of`` in
            ``tryout_requests``; also where nobody has a base model of the family.
        RateLimited: too many are open, or were asked for today.
    """
    user = permissions.require_scope(actor, "write")
    _require_covered(user, wish)
    family = requests.require_stack(user, wish.layers)
    base = worker_bases.base_for(family)
    if base is None:
        raise StateConflict(
            _("Nobody renders for this base model here: %(reason)s.")
            % {"reason": waiting_for(family)},
            state=RenderState.WAITING,
        )
    recipe, words = requests.recipe_of(wish, base)
    with transaction.atomic():
        _require_room(user)
        render = Render.objects.create(
            kind=RenderKind.TRYOUT, recipe=renders.store_recipe(recipe), trigger_words=words
        )
        Layer.objects.bulk_create(
            Layer(render=render, position=position, version=version, strength=strength)
            for position, (version, strength) in enumerate(wish.layers)
        )
        ends = timezone.now() + timedelta(days=settings.LORARY.tryout_days)
        tryout = Tryout.objects.create(user=user, render=render, expires_at=ends)
        renders.enqueue(render=render)
    return tryout


def _require_covered(user: User, wish: TryoutRequest) -> None:
    """Refuse a stack that a bound token could not look at afterwards.

    Raises:
        Forbidden: see ``ask``.
    """
    token = user.access_token
    adapters = [version.adapter for version, _strength in wish.layers]
    if token is not None and not any(token.covers(one.namespace, one) for one in adapters):
        text = _("This token is for “%(bound)s” only: use it in the stack, or another token.")
        raise Forbidden(text % {"bound": token.bound_to}, bound_to=token.bound_to)


def _require_room(user: User) -> None:
    """Count what the user has asked for; call inside the transaction that asks for more.

    Removed ones count as well, or removing would be a way around the limit.

    Raises:
        RateLimited: with the limit, and when to come back.
    """
    User.objects.select_for_update().get(pk=user.pk)  # two requests at once count one by one
    limits, now = settings.LORARY, timezone.now()
    mine = Tryout.objects.filter(user=user)
    if _unfinished(mine).count() >= limits.tryouts_open:
        n = limits.tryouts_open
        text = ngettext(
            "One try-out at a time: wait until yours is done, or remove it.",
            "At most %(n)d try-outs at a time: wait until one is done, or remove one.",
            n,
        )
        raise RateLimited(text % {"n": n}, retry_after=_SOON_S, limit=n)
    per_day = limits.tryouts_per_day
    today = mine.filter(created_at__gt=now - DAY).order_by("-created_at")[per_day - 1 : per_day]
    oldest = today.values_list("created_at", flat=True).first()
    if oldest is not None:
        wait = max(1, round((oldest + DAY - now).total_seconds()))
        text = _("You have had your %(n)d try-outs of these 24 hours. Come back later.")
        raise RateLimited(text % {"n": per_day}, retry_after=wait, limit=per_day)


def _unfinished(tryouts: QuerySet[Tryout]) -> QuerySet[Tryout]:
    """Leave out those that are over, also by a job that ended without a word."""
    ended = [JobState.FAILED, JobState.CANCELLED]
    return tryouts.filter(render__state__in=OPEN_STATES).exclude(render__job__state__in=ended)


def set_shared(*, actor: User, key: UUID, is_shared: bool) -> Tryout:
    """Open a try-out to everyone who has its address and may see its adapters, or close it.

    Raises:
        NotFound: absent, or another's.
        Unauthenticated, ScopeMissing: see ``permissions.require_scope``.
    """
    user = permissions.require_scope(actor, "write")
    tryout = selectors.get(user, key)
    if tryout.user_id != user.pk:
        raise NotFound(_("Only who asked for a try-out can share it."))
    tryout.is_shared = is_shared
    tryout.save(update_fields=["is_shared"])
    return tryout


def remove(*, actor: User, key: UUID) -> None:
    """Stop a try-out and let its pictures go; the row stays until it no longer counts.

    Also one whose adapters are hidden by now: its pictures are still its asker's to remove.

    Raises:
        NotFound: absent, or another's.
        Unauthenticated, ScopeMissing: see ``permissions.require_scope``.
    """
    user = permissions.require_scope(actor, "write")
    now = timezone.now()
    rows = Tryout.objects.select_related("render")
    mine = rows.filter(selectors.own(user), expires_at__gt=now)
    tryout = mine.filter(key=key).first()
    if tryout is None:
        raise NotFound(_("There is no such try-out. It may have expired."))
    with transaction.atomic():
        Tryout.objects.filter(pk=tryout.pk).update(expires_at=now, is_shared=False)
        empty(render=tryout.render, reason=_("Removed."))


def empty(*, render: Render, reason: str) -> None:
    """End a render and drop its pictures; a worker at it stops before its next step."""
    renders.cancel(render=render, reason=reason)
    Image.objects.filter(render=render).delete()


def expire() -> int:
    """Remove try-outs whose time is over; returns how many. The sweeper takes the bytes."""
    now = timezone.now()
    over = Tryout.objects.filter(expires_at__lte=now).select_related("render")
    for tryout in list(over.filter(render__state__in=OPEN_STATES)):
        renders.cancel(render=tryout.render, reason=_("Expired."))
    Image.objects.filter(render__tryout__in=over).delete()
    uncounted = list(over.filter(created_at__lte=now - DAY))
    used = [pk for tryout in uncounted if (pk := tryout.render.recipe_id) is not None]
    Render.objects.filter(tryout__in=uncounted).delete()
    # What somebody wrote into a prompt goes as well, unless others have the same recipe, be it
    # since this very moment.
    with suppress(IntegrityError):
        Recipe.objects.filter(pk__in=used, renders__isnull=True).delete()
    return len(uncounted)


def wake_waiting() -> int:
    """Queue try-outs whose base has come back; returns how many."""
    rows = Render.objects.filter(kind=RenderKind.TRYOUT, state=RenderState.WAITING)
    waiting = list(rows.select_related("recipe"))
    bases = {family: worker_bases.base_for(family) for family in {row.family for row in waiting}}
    return sum(
        _requeue(row.pk)
        for row in waiting
        if row.recipe and (base := bases[row.family]) and row.recipe.document["base"] == base.id
    )


def _requeue(render_id: int) -> bool:
    with transaction.atomic():
        mine = Render.objects.filter(pk=render_id, state=RenderState.WAITING)
        if not mine.update(state=RenderState.QUEUED, reason=""):
            return False
        renders.enqueue(render=Render.objects.get(pk=render_id))
    return True
