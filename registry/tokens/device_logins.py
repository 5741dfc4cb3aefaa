"""Sign-in of a program by a person's browser: the device authorization grant of RFC 8628.

1. The program requests a device code, which it keeps, and a user code, which it shows (`begin`).
2. The person signs in on the site, enters the user code (`find`) and decides (`decide`).
3. The program asks with its device code until there is a decision (`redeem`); if it is allowed, it
   gets an ordinary access token.

Only digests of the codes are stored. A user code is short, so its digest is keyed, it expires after
``LIFETIME``, and the tries of each user are limited: with ``TRIES`` guesses in 15 minutes at one of
20⁸ codes, a search would take millions of years.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import attempts, permissions
from registry.errors import Forbidden, Invalid, LoraryError, NotFound
from registry.models import AccessToken, DeviceLogin, User
from registry.tokens import services as tokens

#: How long the codes are valid.
LIFETIME = timedelta(minutes=15)
#: Seconds that a program waits between two requests.
INTERVAL_S = 5
#: Maximum number of codes that a user may enter in ``WINDOW_S``; a sign-in counts twice, as the
#: code is read when it is entered and when it is confirmed.
TRIES, WINDOW_S = 30, 900

MAX_CLIENT, MAX_DEVICE = 40, 64

#: Consonants that are not mistaken for each other and make no words (RFC 8628, section 6.1).
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
_HALF = 4
#: A request may arrive earlier than it was sent to, by the differences of two ways.
_SLACK = timedelta(seconds=1)


class Codes(NamedTuple):
    """The codes of a new sign-in; they are not stored."""

    device: str
    user: str  # as people read it: two groups of letters


class Refusal(NamedTuple):
    """Why there is no token."""

    error: str  # of RFC 8628, section 3.5, or RFC 6749, section 5.2
    text: str


def begin(*, client: str, device: str = "", scopes: Sequence[str] = ("read", "write")) -> Codes:
    """Return the codes of a new sign-in.

    Args:
        client: Name of the program, as it gives it.
        device: Name of the computer, as the program gives it.
        scopes: Scopes of the token.

    Raises:
        Invalid: a name is too long or invisible, or a scope is unknown.
    """
    _require_text("client_id", client, least=1, most=MAX_CLIENT)
    _require_text("device_name", device, least=0, most=MAX_DEVICE)
    if not scopes or not set(scopes) <= set(tokens.SCOPES):
        message = _("Choose from these scopes: %(all)s.") % {"all": ", ".join(tokens.SCOPES)}
        raise Invalid(message, fields={"scope": [message]})
    letters = "".join(secrets.choice(ALPHABET) for _place in range(2 * _HALF))
    codes = Codes(secrets.token_urlsafe(32), spelled(letters))
    with transaction.atomic():
        login = DeviceLogin.objects.create(
            device_digest=_device_digest(codes.device),
            user_digest=_user_digest(codes.user),
            client=client,
            device=device,
            scopes=[scope for scope in tokens.SCOPES if scope in scopes],
            expires_at=timezone.now() + LIFETIME,
        )
        events.record(actor=None, verb="device_login_requested", subject=login.label)
    return codes


def _require_text(field: str, text: str, *, least: int, most: int) -> None:
    if not least <= len(text) <= most or not text.isprintable():
        message = _("Enter %(least)d to %(most)d visible characters.")
        message %= {"least": least, "most": most}
        raise Invalid(message, fields={field: [message]})


def spelled(code: str) -> str:
    """Return a user code as programs show it, from one that a person typed."""
    letters = "".join(char for char in code.upper() if char in ALPHABET)
    return f"{letters[:_HALF]}-{letters[_HALF:]}"


def find(*, actor: User | AnonymousUser, user_code: str) -> DeviceLogin:
    """Return the sign-in that waits for a decision about a code. Each call counts as a try.

    Raises:
        Unauthenticated: nobody is signed in.
        Forbidden: the actor came with a token.
        RateLimited: the actor entered too many codes.
        NotFound: there is no such code, or it has expired or was decided about.
    """
    user = _require_person(actor)
    attempts.require("device-code", str(user.pk), limit=TRIES, window_s=WINDOW_S)
    found = _pending().filter(user_digest=_user_digest(user_code)).first()
    if found is None:
        raise _unknown()
    return found


def decide(*, actor: User | AnonymousUser, user_code: str, is_allowed: bool) -> DeviceLogin:
    """Allow or deny a sign-in, once.

    Raises:
        Unauthenticated, Forbidden, RateLimited, NotFound: see `find`.
        Invalid, ScopeMissing: the actor may not have such a token.
    """
    user = _require_person(actor)
    login = find(actor=user, user_code=user_code)
    if is_allowed:
        tokens.require_possible(user, login.scopes)
    state = DeviceLogin.State.ALLOWED if is_allowed else DeviceLogin.State.DENIED
    with transaction.atomic():
        if not _pending().filter(pk=login.pk).update(state=state, user=user):
            raise _unknown()
        events.record(
            actor=user,
            verb=f"device_login_{state.value}",
            about=user,
            subject=login.label,
            scopes=login.scopes,
        )
    return login


def redeem(*, device_code: str) -> tuple[AccessToken, str] | Refusal:
    """Return a new token and its secret, once, or why there is none (yet)."""
    now = timezone.now()
    rows = DeviceLogin.objects.filter(device_digest=_device_digest(device_code))
    login = rows.select_related("user").first()
    if login is None:
        return Refusal(
            "invalid_grant", _("There is no such device code, or it has already been used.")
        )
    if login.expires_at <= now:
        return Refusal("expired_token", _("The code has expired. Request a new one."))
    is_early = Q(polled_at__gt=now - timedelta(seconds=INTERVAL_S) + _SLACK)
    if not rows.exclude(is_early).update(polled_at=now):
        return Refusal("slow_down", _("Wait longer between requests."))
    if login.state == DeviceLogin.State.PENDING:
        return Refusal("authorization_pending", _("Nobody has confirmed the code yet."))
    if login.state == DeviceLogin.State.DENIED or login.user is None or not login.user.is_active:
        return Refusal("access_denied", _("The sign-in was denied."))
    return _issued(login, login.user)


def _issued(login: DeviceLogin, user: User) -> tuple[AccessToken, str] | Refusal:
    """Create the token of a sign-in and delete the sign-in, so that its code works once."""
    try:
        with transaction.atomic():
            if not DeviceLogin.objects.filter(pk=login.pk).delete()[0]:
                return Refusal("invalid_grant", _("This device code has already been used."))
            return tokens.issue(actor=user, name=login.label, scopes=login.scopes)
    except LoraryError as error:  # the user has lost a right or got many tokens since
        return Refusal("access_denied", str(error.detail))


def forget() -> None:
    """Delete expired sign-ins."""
    DeviceLogin.objects.filter(expires_at__lte=timezone.now()).delete()


def _pending() -> QuerySet[DeviceLogin]:
    return DeviceLogin.objects.filter(
        state=DeviceLogin.State.PENDING, expires_at__gt=timezone.now()
    )


def _require_person(actor: User | AnonymousUser) -> User:
    """Return the actor; a token must not create a token that outlives it."""
    user = permissions.require_user(actor)
    if user.access_token is not None:
        raise Forbidden(_("Sign in on the site to confirm a code; an access token cannot."))
    return user


def _unknown() -> NotFound:
    text = _(
        "This code is mistyped, has expired or has already been used. Compare it with the one in "
        "your terminal, or run the command again for a new one."
    )
    return NotFound(text)


def _device_digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()


def _user_digest(code: str) -> str:
    return salted_hmac("registry.device_logins", spelled(code), algorithm="sha256").hexdigest()
