"""Who is asking, told by what they cannot invent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _

from hub.webserver.admission import network_of
from registry.errors import Unauthenticated
from registry.tokens import services as tokens

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request

    from registry.models import AccessToken

#: Methods that change nothing, so that a session may use them without the CSRF token.
_SAFE = frozenset({"GET", "HEAD"})


def address_of(request: HttpRequest | Request) -> str:
    """Return the address that the nearest trusted hop saw; see ``network_of``."""
    nearest = ""
    if settings.LORARY.trust_proxy:
        nearest = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return network_of(nearest or str(request.META.get("REMOTE_ADDR", "")))


def secret_in_header(request: HttpRequest | Request) -> str | None:
    """Return what ``Authorization: Bearer`` holds, None where it is another scheme or absent."""
    scheme, _space, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.casefold() == "bearer" else None


def token_of(request: HttpRequest | Request, *, is_in_address: bool = False) -> AccessToken | None:
    """Return the token that a request came with, None without one.

    Args:
        request: Other schemes than ``Bearer`` are for somebody else (a proxy).
        is_in_address: Whether ``?token=`` counts, where there is no header.

    Raises:
        Unauthenticated: a token that is not valid (any more).
    """
    secret = secret_in_header(request)
    if secret is None and is_in_address:
        secret = request.GET.get("token", "").strip() or None
    if secret is None:
        return None
    if not secret:
        raise Unauthenticated(_("The Authorization header contains no token."))
    return tokens.authenticate(secret=secret)


def authenticate(request: HttpRequest) -> None:
    """Set ``request.user``: the token's user, else the session's for safe methods, else nobody.

    Raises:
        Unauthenticated: see ``token_of``.
    """
    token = token_of(request, is_in_address=True)
    if token is not None:
        request.user = token.user
    elif request.method not in _SAFE:
        request.user = AnonymousUser()
