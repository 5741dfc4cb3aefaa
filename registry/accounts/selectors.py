"""Reads accounts, for operators."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from registry.errors import NotFound
from registry.models import NamespaceName, User
from registry.names import key_of

#: Filters of lists, as value and condition.
STATES = {
    "active": Q(is_active=True),
    "disabled": Q(is_active=False, deleted_at=None),
    "deleted": Q(deleted_at__isnull=False),
    "staff": Q(is_staff=True),
}


def listing(*, words: str = "", state: str = "") -> QuerySet[User]:
    """Return accounts by name, with their namespaces.

    Args:
        words: Part of the name or of the e-mail address.
        state: One of ``STATES``, or empty for all.
    """
    rows = User.objects.select_related("namespace").order_by("username")
    if state:
        rows = rows.filter(STATES[state])
    if words:
        rows = rows.filter(Q(username__icontains=words) | Q(email__icontains=words))
    return rows


def named(name: str) -> User:
    """Return an account by its current or a former name.

    Raises:
        NotFound: there is no such account.
    """
    known = NamespaceName.objects.filter(key=key_of(name), namespace__user__isnull=False)
    found = User.objects.select_related("namespace").filter(namespace__in=known.values("namespace"))
    user = found.first()
    if user is None:
        raise NotFound(_("There is no user “%(name)s”.") % {"name": name[:96]})
    return user


def by_id(user_id: int) -> User:
    """Return an account by its id.

    Raises:
        NotFound: there is no such account.
    """
    user = User.objects.select_related("namespace").filter(pk=user_id).first()
    if user is None:
        raise NotFound(_("There is no such account."))
    return user
