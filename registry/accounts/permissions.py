"""Permissions to write. An access token can only restrict what its user may do."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from registry.errors import (
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ScopeMissing,
    SecondFactorMissing,
    StateConflict,
    Unauthenticated,
)
from registry.models import WRITING_ROLES, Adapter, Membership, Namespace, Pack, User


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


def require_user(actor: User | AnonymousUser | None) -> User:
    """Return the signed-in actor.

    Raises:
        Unauthenticated: nobody is signed in.
    """
    if actor is None or not actor.is_authenticated:
        raise Unauthenticated(_("Sign in, or send an access token."))
    return actor


def require_scope(actor: User | AnonymousUser | None, scope: str) -> User:
    """Return the signed-in actor, whose token (if any) must have the scope.

    Raises:
        Unauthenticated: nobody is signed in.
        ScopeMissing: the token lacks the scope.
    """
    user = require_user(actor)
    token = user.access_token
    if token is not None and scope not in token.granted:
        raise ScopeMissing(
            _("This token lacks the scope “%(scope)s”. Create one that has it.") % {"scope": scope},
            scope=scope,
        )
    return user


def require_operator(actor: User | AnonymousUser | None) -> User:
    """Return the actor, who must be an administrator.

    Raises:
        NotFound: the actor is not staff; others must not learn that the page exists.
        SecondFactorMissing: the session lacks the second factor that this hub requires.
        ScopeMissing: the token lacks the scope “admin”.
    """
    if actor is None or not actor.is_authenticated or not actor.is_staff:
        raise NotFound
    if actor.awaits_second_factor:
        raise SecondFactorMissing(_("Confirm with a code from your authenticator app first."))
    return require_scope(actor, "admin")


def require_operator_over(actor: User | None, user: User) -> None:
    """Require that an operator may change another account, which was not deleted.

    Args:
        actor: The operator; None on the command line.
        user: The account.

    Raises:
        NotFound, SecondFactorMissing, ScopeMissing: see ``require_operator``.
        Invalid: it is the actor's own account; they could not undo it.
        StateConflict: the account was deleted.
    """
    if actor is not None and require_operator(actor).pk == user.pk:
        raise Invalid(_("Ask another administrator to change your own account."))
    if user.deleted_at is not None:
        raise StateConflict(_("This account was deleted."), state="deleted")


def is_operator(user: User) -> bool:
    """Return whether a user acts as an administrator.

    Staff do, with a token only if it has scope “admin”, in a session only with the second factor
    that the hub requires.
    """
    token = user.access_token
    is_confirmed = not user.awaits_second_factor
    return user.is_staff and is_confirmed and (token is None or "admin" in token.granted)


def require_namespace(actor: User | AnonymousUser | None, namespace: Namespace) -> User:
    """Return the actor, who must be allowed to publish under the namespace.

    Raises:
        Unauthenticated, ScopeMissing: see ``require_scope``.
        Forbidden: the actor may not write there, or the token is bound to something else.
    """
    return _require_writable(actor, namespace, None)


def _require_writable(
    actor: User | AnonymousUser | None, namespace: Namespace, thing: Adapter | Pack | None
) -> User:
    user = require_scope(actor, "write")
    if not namespace.is_writable_by(user):
        text = _("You cannot publish under “%(name)s”.")
        if isinstance(thing, Adapter):
            text = _("You cannot change adapters of “%(name)s”.")
        elif isinstance(thing, Pack):
            text = _("You cannot change packs of “%(name)s”.")
        raise Forbidden(text % {"name": namespace.name}, owner=namespace.name)
    token, adapter = user.access_token, thing if isinstance(thing, Adapter) else None
    if token is not None and not token.covers(namespace, adapter):
        text = _("This token is limited to “%(bound)s”. Use a token for “%(name)s”.")
        name = thing.full_name if thing is not None else namespace.name
        raise Forbidden(
            text % {"bound": token.bound_to, "name": name},
            owner=namespace.name,
            bound_to=token.bound_to,
        )
    return user


def require_adapter(actor: User | AnonymousUser | None, adapter: Adapter) -> User:
    """Return the actor, who must be allowed to change the adapter.

    Raises:
        NotFound: the actor may not see the adapter.
        Unauthenticated, Forbidden: see ``require_namespace``.
        Gone: the whole adapter was withdrawn.
    """
    user = _require_own(actor, adapter)
    require_standing(adapter)
    return user


def require_pack(actor: User | AnonymousUser | None, pack: Pack) -> User:
    """Return the actor, who must be allowed to change the pack; see ``require_adapter``."""
    user = _require_own(actor, pack)
    require_standing(pack)
    return user


def _require_own(actor: User | AnonymousUser | None, thing: Adapter | Pack) -> User:
    user = require_user(actor)
    is_pack = isinstance(thing, Pack)
    rows = Pack.objects.visible_to(user) if is_pack else Adapter.objects.visible_to(user)
    if not rows.filter(pk=thing.pk).exists():
        raise NotFound(_("There is no such pack.") if is_pack else _("There is no such adapter."))
    return _require_writable(user, thing.namespace, thing)


def require_standing(thing: Adapter | Pack) -> None:
    """Refuse an adapter or a pack that was withdrawn as a whole.

    Raises:
        Gone: it was withdrawn.
    """
    if thing.withdrawn_reason:
        text = _("“%(name)s” was withdrawn and accepts no changes: %(reason)s")
        facts = {"name": thing.full_name, "reason": thing.withdrawn_reason}
        raise Gone(text % facts, reason=thing.withdrawn_reason, **{thing.noun: thing.full_name})


def require_owner_or_operator(actor: User | AnonymousUser | None, thing: Adapter | Pack) -> User:
    """Return the actor, who must be allowed to withdraw an adapter or a pack or its versions."""
    user = require_user(actor)
    return user if is_operator(user) else _require_own(user, thing)
