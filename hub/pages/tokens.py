"""A person's access tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from hub.pages.forms import TokenForm, accept_faults
from registry.errors import Invalid
from registry.selectors import tokens as held
from registry.services import tokens
from registry.services.access import require_user

if TYPE_CHECKING:
    from typing import Any

    from django.http import HttpRequest, HttpResponse

__all__ = ["index", "revoke"]


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """List tokens; make one and show its secret this once."""
    user = require_user(request.user)
    form = TokenForm(request.POST if request.method == "POST" else None)
    context: dict[str, Any] = {"form": form}
    if request.method == "POST" and form.is_valid():
        try:
            token, secret = tokens.issue(actor=user, **form.cleaned_data)
            context = {"form": TokenForm(), "new_token": token, "secret": secret}
        except Invalid as error:
            accept_faults(form, {}, str(error.detail))
    context["tokens"] = held.listing(user)
    status = 400 if context["form"].errors else 200
    return render(request, "pages/tokens.html", context, status=status)


@require_POST
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    """End a token."""
    tokens.revoke(actor=require_user(request.user), token_id=token_id)
    messages.success(request, _("The token is revoked. Programs that used it are signed out."))
    return redirect("tokens")
