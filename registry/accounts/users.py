"""People: signing up makes a user and its namespace; passwords, staff."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions
from registry.errors import Forbidden, Invalid, NameInvalid, NameTaken
from registry.models import Namespace, NamespaceName, User
from registry.names import check_new_name, key_of
from registry.tokens import services as tokens

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

__all__ = [
    "change_password",
    "create_user",
    "set_shows_mature",
    "set_staff",
    "sign_up",
    "sign_up_faults",
]


def sign_up(*, name: str, email: str, password: str) -> User:
    """Open an account.

    Raises:
        Forbidden: when this site takes no sign-ups.
        NameInvalid, NameTaken: see ``create_user``; the name is the only fault.
        Invalid: a weak password or a malformed address; ``facts["fields"]`` has every fault.
    """
    if not settings.LORARY.signup:
        raise Forbidden(_("This site takes no new accounts. Ask an administrator for one."))
    name_fault, fields = _name_fault(name), _other_faults(name, email, password)
    if name_fault is not None and not fields:
        raise name_fault
    if fields:
        named = {"name": [str(name_fault.detail)]} if name_fault is not None else {}
        fields = named | fields
        raise Invalid(" ".join(chain.from_iterable(fields.values())), fields=fields)
    return create_user(name=name, email=email, password=password)


def sign_up_faults(*, name: str, email: str, password: str) -> dict[str, list[str]]:
    """Return every fault of a new account by field, {} for none."""
    fault = _name_fault(name)
    named = {"name": [str(fault.detail)]} if fault is not None else {}
    return named | _other_faults(name, email, password)


def _name_fault(name: str) -> NameInvalid | NameTaken | None:
    try:
        check_new_name(name, is_namespace=True)
    except NameInvalid as error:
        return error
    is_taken = NamespaceName.objects.filter(key=key_of(name)).exists()
    return _taken(name) if is_taken else None


def _taken(name: str) -> NameTaken:
    return NameTaken(_("“%(name)s” is taken. Choose another name.") % {"name": name}, name=name)


def _other_faults(name: str, email: str, password: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    try:
        validate_email(email)
    except ValidationError as error:
        fields["email"] = list(error.messages)
    try:
        validate_password(password, User(username=name, email=email))
    except ValidationError as error:
        fields["password"] = list(error.messages)
    return fields


def create_user(*, name: str, email: str = "", password: str | None = None) -> User:
    """Create a user with its namespace; without a password it can only use tokens.

    Raises:
        NameInvalid: outside the grammar of names.
        NameTaken: in use now or ever before.
    """
    check_new_name(name, is_namespace=True)
    key = key_of(name)
    try:
        with transaction.atomic():
            user = User.objects.create_user(username=name, email=email, password=password)
            namespace = Namespace.objects.create(name=name, key=key, user=user)
            NamespaceName.objects.create(namespace=namespace, key=key)
            events.record(actor=user, verb="user_created", subject=name)
    except IntegrityError as error:
        raise _taken(name) from error
    return user


def change_password(
    *, actor: User | AnonymousUser, password: str, revokes_tokens: bool = False
) -> None:
    """Give the actor another password; the caller has asked for the old one and judged the new.

    Sessions end that are not told of it (``update_session_auth_hash``).

    Args:
        actor: Whose password it is.
        password: The new one.
        revokes_tokens: Whether access tokens end as well.

    Raises:
        Unauthenticated: when there is no actor.
        Forbidden: the actor came with an access token; what is revoked must not have left a way in.
    """
    user = permissions.require_user(actor)
    if user.access_token is not None:
        raise Forbidden(_("A token changes no password. Sign in on the site to do it."))
    user.set_password(password)
    with transaction.atomic():
        user.save(update_fields=["password"])
        if revokes_tokens:
            tokens.revoke_all(actor=user)
        events.record(actor=user, verb="password_changed", subject=user.username)


def set_shows_mature(*, actor: User | AnonymousUser, shows_mature: bool) -> None:
    """Keep whether the actor wants to see pictures of mature adapters.

    Raises:
        Unauthenticated: when there is no actor.
    """
    user = permissions.require_user(actor)
    user.shows_mature = shows_mature
    user.save(update_fields=["shows_mature"])


def set_staff(*, actor: User | None, user: User, is_staff: bool) -> bool:
    """Make somebody one of those who run the hub, or an ordinary user again.

    Args:
        actor: Who decided it; None at the command line, the only place where it is decided.
        user: About whom.
        is_staff: What they are from now on.

    Returns:
        Whether they were something else before.
    """
    with transaction.atomic():
        others = User.objects.filter(pk=user.pk).exclude(is_staff=is_staff)
        if not others.update(is_staff=is_staff):
            return False
        verb = "staff_added" if is_staff else "staff_removed"
        events.record(actor=actor, verb=verb, subject=user.username)
    user.is_staff = is_staff
    return True
