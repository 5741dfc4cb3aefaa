"""Reads access tokens."""

from __future__ import annotations

from django.db.models import QuerySet

from registry.models import AccessToken, User


def reachable(user: User) -> QuerySet[AccessToken]:
    """Return the user's tokens; a bound token sees only itself."""
    token, rows = user.access_token, user.access_tokens.all()
    return rows.filter(pk=token.pk) if token is not None and token.is_bound else rows


def listing(user: User) -> QuerySet[AccessToken]:
    """Return valid and expired tokens; revoked ones are not listed."""
    related = ("namespace", "adapter", "adapter__namespace", "parent")
    return reachable(user).filter(revoked_at=None).select_related(*related)


def count_live(user: User) -> int:
    """Return how many of a user's tokens are valid."""
    return sum(token.is_live for token in user.access_tokens.select_related("parent"))


def holder(user_id: int, token_id: int) -> User | None:
    """Return the user of a signed permission, with the token that requested it.

    Returns None if the account is closed or the token is no longer valid.

    Args:
        token_id: The access token; 0 for a session.
    """
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or not token_id:
        return user
    token = AccessToken.objects.select_related("user", "parent").filter(pk=token_id).first()
    if token is None or not token.is_live:
        return None
    user.access_token = token
    return user
