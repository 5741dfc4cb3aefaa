"""The second factor of administrators: codes of an authenticator app (TOTP, RFC 6238).

The hub stores the secret of the app as it is, because it computes the codes from it; whoever reads
the database can compute them too. Each recovery code replaces a lost phone once.
"""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.utils.translation import gettext as _
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from registry import events
from registry.accounts import attempts, permissions
from registry.errors import Forbidden, Invalid, StateConflict
from registry.models import User

#: Number of recovery codes.
RECOVERY_CODES = 10
#: Length of a code of the app; recovery codes are longer.
DIGITS = 6
#: Maximum number of codes that a user may try in ``WINDOW_S``.
TRIES, WINDOW_S = 10, 900


def is_set_up(user: User) -> bool:
    """Whether the user has confirmed an authenticator app."""
    return bool(TOTPDevice.objects.filter(user=user, confirmed=True).exists())


def recovery_codes_left(user: User) -> int:
    """Return how many recovery codes were not used."""
    return int(StaticToken.objects.filter(device__user=user).count())


def pending(*, actor: User | AnonymousUser) -> TOTPDevice:
    """Return the device that the actor is setting up; the first call creates it.

    Raises:
        Forbidden: the actor is not staff, or came with a token.
        StateConflict: the second factor is set up already.
    """
    user = _require_staff(actor)
    if is_set_up(user):
        raise StateConflict(_("The second factor is set up already."), state="confirmed")
    device, _is_new = TOTPDevice.objects.get_or_create(
        user=user, confirmed=False, defaults={"name": "authenticator app"}
    )
    return device


def confirm(*, actor: User | AnonymousUser, code: str) -> tuple[Device, list[str]]:
    """Confirm the device with a code of the app; return it and the recovery codes.

    Raises:
        Forbidden, StateConflict: see ``pending``.
        Invalid: the code is wrong.
        RateLimited: too many codes were tried.
    """
    user, device = _require_staff(actor), pending(actor=actor)
    _count(user)
    if not device.verify_token(_plain(code)):
        raise _wrong()
    with transaction.atomic():
        device.confirmed = True
        device.save(update_fields=["confirmed"])
        codes = _new_codes(user)
        events.record(actor=user, verb="second_factor_added", about=user)
    return device, codes


def verify(*, actor: User | AnonymousUser, code: str) -> Device:
    """Return the device that a code belongs to: the app, or a recovery code, which is used up.

    Raises:
        Forbidden: the actor is not staff, or came with a token.
        Invalid: the code is wrong or was used.
        RateLimited: too many codes were tried.
    """
    user = _require_staff(actor)
    _count(user)
    plain = _plain(code)
    model = TOTPDevice if len(plain) == DIGITS and plain.isdigit() else StaticDevice
    with transaction.atomic():  # a code works once, even in two requests
        device = model.objects.select_for_update().filter(user=user, confirmed=True).first()
        is_right = device is not None and device.verify_token(plain)
    if device is None or not is_right:
        raise _wrong()
    attempts.clear("second-factor", str(user.pk))
    if isinstance(device, StaticDevice):
        events.record(actor=user, verb="recovery_code_used", about=user)
    return device


def renew_codes(*, actor: User) -> list[str]:
    """Replace the recovery codes and return the new ones.

    Raises:
        NotFound, SecondFactorMissing: see ``permissions.require_operator``.
    """
    user = permissions.require_operator(actor)
    with transaction.atomic():
        codes = _new_codes(user)
        events.record(actor=user, verb="recovery_codes_renewed", about=user)
    return codes


def reset(*, actor: User | None, user: User) -> bool:
    """Remove the second factor of a user, who sets it up again; return whether there was one.

    Args:
        actor: The operator; None on the command line.
        user: The account.

    Raises:
        NotFound, SecondFactorMissing, Invalid: see ``permissions.require_operator_over``.
    """
    permissions.require_operator_over(actor, user)
    with transaction.atomic():
        is_removed = remove(user)
        if is_removed:
            events.record(actor=actor, verb="second_factor_removed", about=user)
    return is_removed


def remove(user: User) -> bool:
    """Delete the app's secret and the recovery codes; return whether there was an app."""
    StaticDevice.objects.filter(user=user).delete()
    return bool(TOTPDevice.objects.filter(user=user).delete()[0])


def _require_staff(actor: User | AnonymousUser) -> User:
    user = permissions.require_user(actor)
    if not user.is_staff or user.access_token is not None:
        text = _(
            "Only administrators can use a second factor, and they must be signed in on the site."
        )
        raise Forbidden(text)
    return user


def _new_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="recovery codes")
    codes = [StaticToken.random_token() for _number in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes


def _count(user: User) -> None:
    attempts.require("second-factor", str(user.pk), limit=TRIES, window_s=WINDOW_S)


def _plain(code: str) -> str:
    return "".join(code.split()).lower()[:32]


def _wrong() -> Invalid:
    text = _("This code is wrong or has already been used. Enter the code that the app shows now.")
    return Invalid(text, fields={"code": [text]})
