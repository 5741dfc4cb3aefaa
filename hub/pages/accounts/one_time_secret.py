"""A secret that is passed from a form to the page after it, which shows it once.

The session stores it encrypted with a one-time pad, and a cookie stores the pad. So neither the
table of sessions nor its backups contain the secret, even if the page is never opened.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

COOKIE, SESSION_KEY = "lorary_pad", "sealed"
#: Long enough to follow a redirect.
MAX_AGE_S = 120


class OneTimeSecret(NamedTuple):
    """A secret, and the name of its token."""

    secret: str
    name: str


def send(request: HttpRequest, response: HttpResponseRedirect, secret: OneTimeSecret) -> None:
    """Store a secret for the page that ``response`` redirects to, replacing an earlier one."""
    plain = secret.secret.encode()
    pad = secrets.token_bytes(len(plain))
    request.session[SESSION_KEY] = [_xor(plain, pad).hex(), secret.name]
    response.set_cookie(
        COOKIE,
        pad.hex(),
        max_age=MAX_AGE_S,
        path=response.url,
        secure=bool(settings.SESSION_COOKIE_SECURE),
        httponly=True,
        samesite="Strict",
    )


def take(request: HttpRequest) -> OneTimeSecret | None:
    """Remove the secret for this page from the session and return it; None if there is none."""
    sealed, name = request.session.pop(SESSION_KEY, ("", ""))
    try:
        plain = _xor(bytes.fromhex(sealed), bytes.fromhex(request.COOKIES.get(COOKIE, "")))
        secret = plain.decode("ascii")
    except ValueError:  # the cookie is expired, of another session, or forged
        return None
    return OneTimeSecret(secret, name) if secret else None


def forget(request: HttpRequest, response: HttpResponseBase) -> None:
    """Delete the cookie."""
    if COOKIE in request.COOKIES:
        response.delete_cookie(COOKIE, path=request.path, samesite="Strict")


def _xor(text: bytes, pad: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(text, pad, strict=True))
