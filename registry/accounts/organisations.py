"""Organisations: owners whose members publish under one name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions, users
from registry.database.row_locks import locked
from registry.errors import Forbidden, Invalid, Moved, NotFound, StateConflict
from registry.models import Membership, Namespace, NamespaceKind, NamespaceName, Role, User
from registry.names import check_new_name, key_of
from registry.tokens import services as tokens


@dataclass(frozen=True)
class Row:
    """An organisation in the list.

    Attributes:
        admins: How many admins have an active account. Disabling accounts can leave none; then
            only an administrator can change the members.
    """

    name: str
    created_at: datetime
    members: int
    admins: int


def listing(*, after: str = "", limit: int | None = None) -> list[Row]:
    """Return organisations by name, from the one after ``after`` on."""
    rows = Namespace.objects.filter(kind=NamespaceKind.ORGANISATION, key__gt=key_of(after))
    is_admin = Q(memberships__role=Role.ADMIN, memberships__user__is_active=True)
    counted = rows.order_by("key").annotate(
        members=Count("memberships"), admins=Count("memberships", filter=is_admin)
    )
    fields = counted.values_list("name", "created_at", "members", "admins")
    return [Row(*values) for values in fields[:limit]]


def named(name: str) -> Namespace:
    """Return an organisation by name.

    Raises:
        NotFound: there is no such organisation.
        Moved: it was renamed; ``facts["full_name"]`` is the current name.
    """
    known = NamespaceName.objects.select_related("namespace").filter(key=key_of(name)).first()
    if known is None or known.namespace.kind != NamespaceKind.ORGANISATION:
        raise NotFound(_("There is no organisation “%(name)s”.") % {"name": name[:96]})
    if known.namespace.key != known.key:
        raise Moved(full_name=known.namespace.name)
    return known.namespace


def members(organisation: Namespace) -> QuerySet[Membership]:
    """Return memberships by the user's name."""
    return organisation.memberships.select_related("user").order_by("user__username")


def manages(user: User, organisation: Namespace) -> bool:
    """Return whether a user may change the members: its admins may, and administrators."""
    if permissions.is_operator(user):
        return True
    return (
        user.access_token is None
        and organisation.memberships.filter(user=user, role=Role.ADMIN).exists()
    )


def create(*, actor: User | None, name: str, admin: User) -> Namespace:
    """Create an organisation with its first admin, who can add others.

    Args:
        actor: The administrator; None on the command line.
        name: Its name, which follows the rules for names of users.
        admin: The first member.

    Raises:
        NotFound, SecondFactorMissing, ScopeMissing: see ``permissions.require_operator``.
        NameInvalid, NameTaken: see ``users.create_user``.
        Invalid: the account of the first member is disabled.
    """
    if actor is not None:
        permissions.require_operator(actor)
    check_new_name(name, is_namespace=True)
    _require_active(admin)
    try:
        with transaction.atomic():
            organisation = users.create_namespace(name, kind=NamespaceKind.ORGANISATION)
            events.record(actor=actor, verb="organisation_created", subject=name)
            _save(actor, organisation, admin, Role.ADMIN)
    except IntegrityError as error:
        raise users.name_taken(name) from error
    return organisation


def set_role(*, actor: User | None, organisation: Namespace, user: User, role: str) -> bool:
    """Add a member, or change the role of one; return whether this changed anything.

    Args:
        actor: An admin of the organisation or an administrator; None on the command line.
        organisation: The organisation.
        user: The member.
        role: One of ``Role``.

    Raises:
        Unauthenticated, Forbidden: the actor may not change the members, or uses a token.
        Invalid: there is no such role, or the account is disabled.
        StateConflict: the organisation would have no admin.
    """
    if role not in Role.values:
        text = _("Choose one of: %(all)s.") % {"all": ", ".join(Role.values)}
        raise Invalid(text, fields={"role": [text]})
    with transaction.atomic():
        current = _locked_role(organisation, user)
        _require_manager(actor, organisation)
        if current == role:
            return False
        if current == Role.ADMIN:
            _require_another_admin(organisation, user)
        else:
            _require_active(user)
        _save(actor, organisation, user, role)
    return True


def remove(*, actor: User | None, organisation: Namespace, user: User) -> bool:
    """Remove a member, who may be the actor; return whether there was such a member.

    What the member published stays where it is, and keeps its author. Tokens that are bound to the
    organisation are revoked.

    Raises:
        Unauthenticated, Forbidden: see ``set_role``.
        StateConflict: the organisation would have no admin.
    """
    with transaction.atomic():
        current = _locked_role(organisation, user)
        if actor is None or actor.pk != user.pk or actor.access_token is not None:
            _require_manager(actor, organisation)
        if current == Role.ADMIN:
            _require_another_admin(organisation, user)
        if not organisation.memberships.filter(user=user).delete()[0]:
            return False
        tokens.revoke_bound(user, organisation)
        events.record(actor=actor, verb="member_removed", about=user, subject=organisation.name)
    return True


def _save(actor: User | None, organisation: Namespace, user: User, role: str) -> None:
    organisation.memberships.update_or_create(user=user, defaults={"role": role})
    events.record(actor=actor, verb="member_set", about=user, subject=organisation.name, role=role)


def _require_manager(actor: User | None, organisation: Namespace) -> None:
    if actor is None or manages(permissions.require_user(actor), organisation):
        return
    if actor.access_token is not None:
        raise Forbidden(_("A token can't change members. Sign in on the site to do it."))
    text = _("Only an admin of “%(name)s” can change its members.")
    raise Forbidden(text % {"name": organisation.name})


def _require_active(user: User) -> None:
    if not user.is_active:
        text = _("The account “%(name)s” cannot be added, because it is disabled or was deleted.")
        text %= {"name": user.username}
        raise Invalid(text, fields={"user": [text]})


def _locked_role(organisation: Namespace, user: User) -> str:
    """Return a member's role, or ""; other changes of the members wait for this one."""
    locked(Namespace.objects.filter(pk=organisation.pk)).get()
    row = organisation.memberships.filter(user=user).first()
    return row.role if row is not None else ""


def _require_another_admin(organisation: Namespace, user: User) -> None:
    admins = organisation.memberships.filter(role=Role.ADMIN, user__is_active=True)
    if not admins.exclude(user=user).exists():
        text = _("“%(name)s” needs an admin. Make another member an admin first.")
        raise StateConflict(text % {"name": organisation.name}, state="manager")
