"""Creates users with their namespaces; changes passwords, settings and staff."""

from __future__ import annotations

from itertools import chain

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import permissions
from registry.errors import Forbidden, Invalid, NameInvalid, NameTaken
from registry.models import Maturity, Namespace, NamespaceKind, NamespaceName, User
from registry.names import check_new_name, key_of
from registry.tokens import services as tokens


def sign_up(*, name: str, email: str, password: str) -> User:
    """Create an account, if the hub allows sign-up.

    Raises:
        Forbidden: sign-ups are disabled on this hub.
        NameInvalid, NameTaken, Invalid: see ``create_with_password``; an address is required.
    """
    if not settings.LORARY.signup:
        raise Forbidden(_("This hub does not allow sign-up. Ask an administrator for an account."))
    _raise_faults(name, _other_faults(name, email, password))
    return create_user(name=name, email=email, password=password, signs_up=True)


def create_with_password(*, name: str, password: str, email: str = "") -> User:
    """Create an account for somebody else, whether or not the hub allows sign-up.

    Raises:
        NameInvalid, NameTaken: see ``create_user``; raised when only the name is wrong.
        Invalid: a weak password or a malformed address; ``facts["fields"]`` has every error.
    """
    faults = _other_faults(name, email, password)
    if not email:
        faults.pop("email", None)
    _raise_faults(name, faults)
    return create_user(name=name, email=email, password=password)


def _raise_faults(name: str, fields: dict[str, list[str]]) -> None:
    name_fault = _name_fault(name)
    if name_fault is not None and not fields:
        raise name_fault
    if fields:
        fields = ({"name": [str(name_fault.detail)]} if name_fault is not None else {}) | fields
        raise Invalid(" ".join(chain.from_iterable(fields.values())), fields=fields)


def sign_up_faults(*, name: str, email: str, password: str) -> dict[str, list[str]]:
    """Return the errors of a new account by field, or {}."""
    names = name_faults(name)
    return ({"name": names} if names else {}) | _other_faults(name, email, password)


def name_faults(name: str) -> list[str]:
    """Return the errors of a name for a new account, or []."""
    fault = _name_fault(name)
    return [str(fault.detail)] if fault is not None else []


def _name_fault(name: str) -> NameInvalid | NameTaken | None:
    try:
        check_new_name(name, is_namespace=True)
    except NameInvalid as error:
        return error
    is_taken = NamespaceName.objects.filter(key=key_of(name)).exists()
    return name_taken(name) if is_taken else None


def name_taken(name: str) -> NameTaken:
    """Return the error for a name that is, or was once, in use."""
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


def create_user(
    *, name: str, email: str = "", password: str | None = None, signs_up: bool = False
) -> User:
    """Create a user and its namespace. Without a password, the user can only use tokens.

    Args:
        signs_up: Whether the user is the actor of the event; otherwise the command line is.

    Raises:
        NameInvalid: the name breaks the rules for names.
        NameTaken: the name is, or was once, in use.
    """
    check_new_name(name, is_namespace=True)
    try:
        with transaction.atomic():
            user = User.objects.create_user(username=name, email=email, password=password)
            give_namespace(user)
            events.record(actor=user if signs_up else None, verb="user_created", about=user)
    except IntegrityError as error:
        raise name_taken(name) from error
    return user


def give_namespace(user: User) -> None:
    """Create the namespace of a new user.

    Raises:
        IntegrityError: the name is, or was once, in use.
    """
    create_namespace(user.username, kind=NamespaceKind.USER, user=user)


def create_namespace(name: str, *, kind: NamespaceKind, user: User | None = None) -> Namespace:
    """Create a namespace, whose name is reserved for ever.

    Raises:
        IntegrityError: the name is, or was once, in use.
    """
    key = key_of(name)
    namespace = Namespace.objects.create(kind=kind, name=name, key=key, user=user)
    NamespaceName.objects.create(namespace=namespace, key=key)
    return namespace


def change_password(
    *, actor: User | AnonymousUser, password: str, revokes_tokens: bool = False
) -> None:
    """Change the actor's password. The caller has checked the old one and validated the new one.

    All sessions end, except one that the caller renews (``update_session_auth_hash``).

    Args:
        revokes_tokens: Whether to revoke all access tokens too.

    Raises:
        Unauthenticated: nobody is signed in.
        Forbidden: the actor uses an access token. A stolen token must not outlive its revocation
            by changing the password.
    """
    user = permissions.require_user(actor)
    if user.access_token is not None:
        raise Forbidden(_("A token can't change the password. Sign in on the site to do it."))
    user.set_password(password)
    with transaction.atomic():
        user.save(update_fields=["password"])
        if revokes_tokens:
            tokens.revoke_all(actor=user)
        events.record(actor=user, verb="password_changed", about=user)


def set_shows_up_to(*, actor: User | AnonymousUser, level: str) -> None:
    """Set the highest content rating of pictures that the actor sees without a blur.

    Raises:
        Unauthenticated: nobody is signed in.
        Invalid: there is no such level.
    """
    user = permissions.require_user(actor)
    if level not in Maturity.values:
        text = _("Choose one of: %(all)s.") % {"all": ", ".join(Maturity.values)}
        raise Invalid(text, fields={"level": [text]})
    with transaction.atomic():
        user.shows_up_to = level
        user.save(update_fields=["shows_up_to"])
        events.record(actor=user, verb="content_rating_set", about=user, level=level)


def set_staff(*, actor: User | None, user: User, is_staff: bool) -> bool:
    """Make a user an administrator, or an ordinary user again.

    Args:
        actor: The operator; None on the command line.
        is_staff: Whether the user becomes an administrator.

    Returns:
        Whether this changed anything.

    Raises:
        NotFound, ScopeMissing, Invalid: see ``permissions.require_operator_over``.
        StateConflict: the account was deleted.
    """
    permissions.require_operator_over(actor, user)
    with transaction.atomic():
        others = User.objects.filter(pk=user.pk).exclude(is_staff=is_staff)
        if not others.update(is_staff=is_staff):
            return False
        verb = "staff_added" if is_staff else "staff_removed"
        events.record(actor=actor, verb=verb, about=user)
    user.is_staff = is_staff
    return True
