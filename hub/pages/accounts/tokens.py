"""The page of a user's access tokens."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from hub.pages.accounts import one_time_secret
from hub.pages.forms import TokenForm, accept_faults
from registry.accounts.permissions import require_user
from registry.errors import Invalid
from registry.models import User
from registry.tokens import selectors as token_selectors
from registry.tokens import services as tokens


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
    new = one_time_secret.take(request) if request.method == "GET" else None
    context = {"form": form, "new": new, "tokens": token_selectors.listing(user)}
    response = render(request, "pages/tokens.html", context, status=400 if form.errors else 200)
    if request.method == "GET":
        one_time_secret.forget(request, response)
    return response


def _issued(request: HttpRequest, user: User, form: TokenForm) -> HttpResponse:
    """Create a token and redirect to the page that shows it, so that a reload creates no other."""
    token, secret = tokens.issue(actor=user, **form.cleaned_data)
    response = redirect("tokens")
    one_time_secret.send(request, response, one_time_secret.OneTimeSecret(secret, token.name))
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
