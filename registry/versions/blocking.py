"""Blocks adapters and packs, and lifts blocks.

A blocked adapter is refused to everybody but the members of its namespace, with the reason, and is
in no list. Its files, versions and pictures stay stored, and a lift shows all of them again.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q, QuerySet

from registry import events
from registry.accounts import permissions
from registry.adapters import services as adapters
from registry.database import facet_counters
from registry.models import Adapter, Pack, User
from registry.versions.latest import checked_reason


def block(*, actor: User | None, thing: Adapter | Pack, reason: str) -> bool:
    """Block an adapter or a pack, or change the reason; return whether anything changed.

    Args:
        actor: The operator; None on the command line.
        thing: The adapter or the pack.
        reason: Public reason, at most ``latest.MAX_REASON`` characters.

    Raises:
        Invalid: the reason is missing or invalid.
        Gone: it was withdrawn.
        NotFound, ScopeMissing: see ``permissions.require_operator``.
    """
    return _set_reason(actor, thing, checked_reason(reason))


def lift(*, actor: User | None, thing: Adapter | Pack) -> bool:
    """Lift the block of an adapter or a pack; return whether it was blocked. See ``block``."""
    return _set_reason(actor, thing, "")


def blocked() -> tuple[QuerySet[Adapter], QuerySet[Pack]]:
    """Return the blocked adapters and packs with their namespaces."""
    adapters, packs = Adapter.objects.all(), Pack.objects.all()
    is_blocked = ~Q(blocked_reason="")
    return (
        adapters.filter(is_blocked).select_related("namespace"),
        packs.filter(is_blocked).select_related("namespace"),
    )


def _set_reason(actor: User | None, thing: Adapter | Pack, reason: str) -> bool:
    if actor is not None:
        permissions.require_operator(actor)
    with transaction.atomic():
        adapters.refresh(thing)
        if reason:
            permissions.require_standing(thing)
        if thing.blocked_reason == reason:
            return False
        thing.blocked_reason = reason
        thing.save(update_fields=["blocked_reason"])
        facet_counters.fold_soon()
        what = "blocked" if reason else "unblocked"
        events.record(actor=actor, verb=f"{thing.noun}_{what}", about=thing, reason=reason)
    return True
