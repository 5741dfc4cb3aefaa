"""Try-outs of packs: a subject is rendered with a variant's look and without it.

Visitors without an account may request them too, a limited number per hour from one network
address; these are rendered after the try-outs of users and before everything else.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from previews import worker_bases
from previews.models import OPEN_STATES, Layer, Render, RenderState, Tryout
from previews.packs import recipes
from previews.render.recipe import MAX_SEED
from previews.renders.messages import no_renderer
from previews.tryouts import services as tryouts
from previews.tryouts.selectors import Viewer
from registry.accounts import attempts, permissions
from registry.errors import Invalid, NotFound, RateLimited, StateConflict, Unauthenticated
from registry.models import OPEN_JOB_STATES, Output, PackVariant, User
from registry.packs import parts as pack_parts

HOUR_S = 3600
#: Open try-outs of visitors from all addresses together; more would wait for too long. They are
#: counted without a lock, so that requests at the same time may be a few more.
MAX_VISITORS_OPEN = 200
#: ``Retry-After`` when there are that many.
_RETRY_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PackTryoutRequest:
    """A subject in the look of a variant; without a seed, a random one.

    ``address`` is that of a visitor without an account, as ``hub.http.callers`` returns it.
    """

    variant: PackVariant
    subject: str
    seed: int | None = None
    address: str = ""


def variant_of(actor: Viewer, variants: Iterable[PackVariant], name: str = "") -> PackVariant:
    """Return the variant of a name, or the first that can be tried, pictures before videos.

    Args:
        actor: Who wants to try it. A variant whose parts are all gone for them comes last.
        variants: Those of a version, as ``selectors.with_parts`` reads them.
        name: Of the variant.

    Raises:
        Invalid: there is none of this name.
    """
    found = list(variants)
    if name:
        named = next((one for one in found if one.name == name), None)
        if named is None:
            names = ", ".join(one.name for one in found)
            text = _("This version has no variant “%(name)s”. It has: %(names)s.")
            message = text % {"name": name[:48], "names": names}
            raise Invalid(message, fields={"variant": [message]})
        return named
    parts, served = pack_parts.parts_for(actor, found), served_of(found)
    return min(
        found,
        key=lambda one: (
            not any(part.is_at_hand for part in parts[one.pk]),
            one not in served,
            one.output != Output.IMAGE,
            one.position,
        ),
    )


def served_of(variants: Iterable[PackVariant]) -> list[PackVariant]:
    """Return those of some variants that have a base model here."""
    rows = list(variants)
    served = worker_bases.served(one.family for one in rows)
    return [one for one in rows if (one.family, one.output) in served]


def create(*, actor: Viewer, request: PackTryoutRequest) -> Tryout:
    """Queue a try-out of a pack that the actor may see.

    Raises:
        ScopeMissing, Forbidden: the token may not write, or does not cover a part.
        Unauthenticated: visitors without an account may not try packs here.
        Invalid: the subject or the seed is invalid.
        StateConflict: nothing of the variant can be had, or it has no base model here.
        RateLimited: the user or the visitor has requested too many.
    """
    user, variant = _user_of(actor), request.variant
    if user is not None:
        parts = variant.parts.select_related("adapter_version__adapter__namespace")
        tryouts.require_covered(user, [part.adapter_version.adapter for part in parts])
    at_hand = _at_hand(actor, variant)
    base = worker_bases.base_for(variant.family, variant.output)
    if base is None:
        raise StateConflict(no_renderer(variant.family), state=RenderState.WAITING)
    recipe = recipes.recipe_of(
        recipes.document_of(variant), base,
        prompts=[request.subject], seed=_seed(request.seed), compares=True,
    )  # fmt: skip
    if user is None:
        _require_room(request.address)
    owner = "" if user is not None else _turn_of(request.address)
    with transaction.atomic():
        if user is not None:
            tryouts.require_room(user)
        render = tryouts.render_of(recipe, base, at_hand)
        tryout = Tryout(
            user=user,
            render=render,
            pack_version=variant.version,
            variant=variant.name,
            subject=recipe.plain[0],
        )
        return tryouts.begin(tryout=tryout, owner=owner)


def _user_of(actor: Viewer) -> User | None:
    if actor is not None and actor.is_authenticated:
        return permissions.require_scope(actor, "write")
    if not settings.LORARY.try_strangers:
        raise Unauthenticated(_("Sign in to try packs on this hub."))
    return None


def _at_hand(actor: Viewer, variant: PackVariant) -> list[Layer]:
    """Return the layers of a variant, without the parts that the actor cannot get.

    Raises:
        StateConflict: none is left.
    """
    parts = pack_parts.parts_for(actor, [variant])[variant.pk]
    positions = {part.row.position for part in parts if part.is_at_hand}
    if not positions:
        text = _("All parts of this look are gone, so it cannot be tried.")
        raise StateConflict(text, state=variant.version.state)
    layers = recipes.layers_of(variant, Render())
    return [layer for layer in layers if layer.position in positions]


def _seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbelow(MAX_SEED + 1)
    if not 0 <= seed <= MAX_SEED:
        text = _("Enter a whole number from 0 to %(n)d.") % {"n": MAX_SEED}
        raise Invalid(text, fields={"seed": [text]})
    return seed


def _require_room(address: str) -> None:
    """Count one try-out of a visitor.

    Raises:
        RateLimited: too many come from this address, or from all.
    """
    waiting = Tryout.objects.filter(user=None, render__job__state__in=OPEN_JOB_STATES)
    if waiting.count() >= MAX_VISITORS_OPEN:
        text = _("Many visitors are waiting for pictures. Try again in half a minute, or sign in.")
        raise RateLimited(text, retry_after=_RETRY_S)
    limit = settings.LORARY.try_strangers
    text = _("Without an account you can try %(limit)d looks in an hour; sign in to try more.")
    attempts.require("try", address, limit=limit, window_s=HOUR_S, text=text % {"limit": limit})


def _turn_of(address: str) -> str:
    """Return whose turn in the queue a visitor takes; it does not reveal the address."""
    digest = salted_hmac("previews.visitors", address, algorithm="sha256").hexdigest()
    return f"visitor {digest[:16]}"


def remove(*, actor: Viewer, key: UUID, is_own: bool = False) -> None:
    """Stop a try-out of a pack and delete its pictures.

    Whoever has the key of a visitor's can cancel it while it is open; it is removed later only for
    the one who requested it, because its address may have been shared.

    Args:
        actor: Who asks; for one with an account see ``services.remove``.
        key: Key of the try-out.
        is_own: Whether the visitor's browser requested it.

    Raises:
        NotFound: there is none.
        StateConflict: it is finished, and the visitor is another one.
        Unauthenticated, ScopeMissing: see ``services.remove``.
    """
    rows = Tryout.objects.select_related("render").filter(key=key, expires_at__gt=timezone.now())
    tryout = rows.first()
    if tryout is None:
        raise NotFound(_("There is no such try-out. It may have expired."))
    if tryout.user_id is not None:
        tryouts.remove(actor=permissions.require_scope(actor, "write"), key=key)
        return
    if not is_own and tryout.render.state not in OPEN_STATES:
        text = _("This picture is finished. Its page says when it is deleted.")
        raise StateConflict(text, state=tryout.render.state)
    tryouts.end(actor=actor, tryout=tryout)
