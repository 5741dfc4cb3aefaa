"""The client of a request: its address, token and user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeAlias

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from rest_framework.request import Request

from hub.webserver.admission import forwarded, network_of
from registry.accounts import permissions
from registry.errors import Unauthenticated
from registry.models import AccessToken
from registry.tokens import services as tokens

P = ParamSpec("P")

#: A view that decorators of pages and protocols can wrap.
View: TypeAlias = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

#: Methods that change nothing and therefore need no CSRF token.
_SAFE = frozenset({"GET", "HEAD"})


def address_of(request: HttpRequest | Request) -> str:
    """Return the client's address, by which limits count; see ``network_of``."""
    return network_of(client_address(request))


def client_address(request: HttpRequest | Request) -> str:
    """Return the address that connected to the outermost trusted proxy; see ``forwarded``."""
    said = str(request.META.get("HTTP_X_FORWARDED_FOR", ""))
    return forwarded(said) or str(request.META.get("REMOTE_ADDR", ""))


def is_monitor(request: HttpRequest) -> bool:
    """Whether a program may read the hub's figures: by the token of metrics or an operator's."""
    secret, own = bearer_secret(request), settings.LORARY.metrics_token
    if not secret:
        return False
    if own and constant_time_compare(secret, own):
        return True
    try:
        return permissions.is_operator(tokens.authenticate(secret=secret).user)
    except (Unauthenticated, DatabaseError):
        return False


def bearer_secret(request: HttpRequest | Request) -> str | None:
    """Return the token in ``Authorization: Bearer``; None if there is none."""
    scheme, _space, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.casefold() == "bearer" else None


def token_of(
    request: HttpRequest | Request, *, is_query_allowed: bool = False
) -> AccessToken | None:
    """Return the access token of a request; None if there is none.

    Args:
        request: Schemes other than ``Bearer`` are ignored; a proxy may use them.
        is_query_allowed: Whether ``?token=`` is read if there is no header.

    Raises:
        Unauthenticated: the token is invalid, expired or revoked.
    """
    secret = bearer_secret(request)
    if secret is None and is_query_allowed:
        secret = request.GET.get("token", "").strip() or None
    if secret is None:
        return None
    if not secret:
        raise Unauthenticated(_("The Authorization header contains no token."))
    return tokens.authenticate(secret=secret)


def authenticate(request: HttpRequest) -> None:
    """Set ``request.user`` from the token or, for safe methods, the session; else anonymous."""
    token = token_of(request, is_query_allowed=True)
    if token is not None:
        request.user = token.user
    elif request.method not in _SAFE:
        request.user = AnonymousUser()
