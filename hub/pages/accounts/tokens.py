"""The page of a user's access tokens."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from hub.pages.forms import TokenForm, accept_faults
from registry.accounts.permissions import require_user
from registry.errors import Invalid
from registry.models import User
from registry.tokens import selectors as token_selectors
from registry.tokens import services as tokens

# A secret that is passed from a form to the next page, which shows it once.
#
# The session stores it encrypted with a one-time pad, and a cookie stores the pad. So neither the
# table of sessions nor its backups contain the secret, even if the page is never opened.

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


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """List tokens; create one, whose secret the next page shows once."""
    user = require_user(request.user)
    form = TokenForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            return _issued(request, user, form)
        except Invalid as error:
            accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    new = take(request) if request.method == "GET" else None
    context = {"form": form, "new": new, "tokens": token_selectors.listing(user)}
    response = render(request, "pages/tokens.html", context, status=400 if form.errors else 200)
    if request.method == "GET":
        forget(request, response)
    return response


def _issued(request: HttpRequest, user: User, form: TokenForm) -> HttpResponse:
    """Create a token and redirect to the page that shows it, so that a reload creates no other."""
    token, secret = tokens.issue(actor=user, **form.cleaned_data)
    response = redirect("tokens")
    send(request, response, OneTimeSecret(secret, token.name))
    return response


@require_POST
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    """Revoke a token."""
    tokens.revoke(actor=require_user(request.user), token_id=token_id)
    messages.success(request, _("The token is revoked. Programs that used it are signed out."))
    return redirect("tokens")


@require_POST
def revoke_all(request: HttpRequest) -> HttpResponse:
    """Revoke all tokens."""
    tokens.revoke_all(actor=require_user(request.user))
    messages.success(request, _("All tokens are revoked. Programs that used one are signed out."))
    return redirect("tokens")
