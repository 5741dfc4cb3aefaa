"""A secret on its way from a form to the page behind it, which shows it once.

The session keeps it under a one-time pad, and a cookie of the browser keeps the pad. So neither the
rows of sessions nor backups of them ever hold the secret, even if nobody asks for that page.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseRedirect
    from django.http.response import HttpResponseBase

COOKIE, KEPT_AS = "lorary_pad", "sealed"
#: Long enough to follow a redirect.
MAX_AGE_S = 120


class Letter(NamedTuple):
    """A secret, and what it is of."""

    secret: str
    name: str


def send(request: HttpRequest, response: HttpResponseRedirect, letter: Letter) -> None:
    """Leave a secret for the page that ``response`` leads to; the one before it is lost."""
    plain = letter.secret.encode()
    pad = secrets.token_bytes(len(plain))
    request.session[KEPT_AS] = [_crossed(plain, pad).hex(), letter.name]
    response.set_cookie(
        COOKIE,
        pad.hex(),
        max_age=MAX_AGE_S,
        path=response.url,
        secure=bool(settings.SESSION_COOKIE_SECURE),
        httponly=True,
        samesite="Strict",
    )


def take(request: HttpRequest) -> Letter | None:
    """Return what was left for this page and take it out of the session; None for nothing."""
    sealed, name = request.session.pop(KEPT_AS, ("", ""))
    try:
        plain = _crossed(bytes.fromhex(sealed), bytes.fromhex(request.COOKIES.get(COOKIE, "")))
        secret = plain.decode("ascii")
    except ValueError:  # the cookie is too old, another's, or made up
        return None
    return Letter(secret, name) if secret else None


def forget(request: HttpRequest, response: HttpResponseBase) -> None:
    """Have the browser drop its half."""
    if COOKIE in request.COOKIES:
        response.delete_cookie(COOKIE, path=request.path, samesite="Strict")


def _crossed(text: bytes, pad: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(text, pad, strict=True))
