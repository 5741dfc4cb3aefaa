"""A user's access tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from registry.models import AccessToken, User

__all__ = ["listing"]


def listing(user: User) -> QuerySet[AccessToken]:
    """Return the tokens that still work or ran out; revoked ones are gone from view."""
    return user.access_tokens.filter(revoked_at=None).select_related("namespace")
