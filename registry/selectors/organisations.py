"""Which organisations somebody is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.models import Membership

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from registry.models import User

__all__ = ["memberships"]


def memberships(user: User) -> QuerySet[Membership]:
    """Return a user's places in organisations, by the organisation's name."""
    return (
        Membership.objects.filter(user=user).select_related("namespace").order_by("namespace__key")
    )
