"""Records sign-ins, failed sign-ins and sign-outs, whichever page or application they come from."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from registry import events
from registry.models import User


def connect() -> None:
    """Receive Django's signals."""
    user_logged_in.connect(_signed_in, dispatch_uid="registry.sign_ins")
    user_logged_out.connect(_signed_out, dispatch_uid="registry.sign_ins")
    user_login_failed.connect(_failed, dispatch_uid="registry.sign_ins")


def _signed_in(*, user: User, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
    events.record(actor=user, verb="signed_in", about=user)


def _signed_out(*, user: User | AnonymousUser | None, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
    if isinstance(user, User):
        events.record(actor=user, verb="signed_out", about=user)


def _failed(*, credentials: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - a signal's extras
    """Record the account, if there is one of this name.

    Other names are not stored: people type passwords into the wrong field.
    """
    name = str(credentials.get("username", ""))
    user = User.objects.filter(username__iexact=name).first() if name else None
    events.record(actor=None, verb="sign_in_failed", about=user)
