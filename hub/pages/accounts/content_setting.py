"""Whether mature pictures are shown to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from registry.accounts import users
from registry.accounts.permissions import require_user

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

__all__ = ["content"]


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def content(request: HttpRequest) -> HttpResponse:
    """Ask what a person wants to see of mature adapters, and keep the answer."""
    user = require_user(request.user)
    if request.method == "POST":
        users.set_shows_mature(actor=user, shows_mature=request.POST.get("mature") == "show")
        messages.success(request, _("Your choice is saved."))
        return redirect("content")
    return render(request, "pages/content.html")
