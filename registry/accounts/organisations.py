"""Memberships in organisations, and the namespaces that a user may publish in."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from registry.models import WRITING_ROLES, Membership, Namespace, User


def memberships(user: User) -> QuerySet[Membership]:
    """Return a user's memberships, sorted by the organisation's name.

    A bound token limits them to the organisation it is bound to.
    """
    rows = Membership.objects.filter(user=user).select_related("namespace")
    token = user.access_token
    if token is not None and token.is_bound:
        adapter = token.adapter
        rows = rows.filter(namespace=adapter.namespace_id if adapter else token.namespace_id)
    return rows.order_by("namespace__key")


def writable_by(user: User) -> QuerySet[Namespace]:
    """Return the namespaces that a user may publish in: their own, and their organisations'."""
    writing = Q(memberships__user=user, memberships__role__in=WRITING_ROLES)
    return Namespace.objects.filter(Q(user=user) | writing)
