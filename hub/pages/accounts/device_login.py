"""The page on which a person allows or denies the sign-in of a program."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from hub.http.callers import address_of
from hub.http.problems import status_of
from hub.pages.forms import SCOPES, UserCodeForm
from registry.accounts import attempts
from registry.accounts.permissions import require_user
from registry.errors import Forbidden, Invalid, NotFound, RateLimited
from registry.models import DeviceLogin, User
from registry.tokens import device_logins

#: Maximum number of codes from one address in ``device_logins.WINDOW_S``, for all accounts there.
TRIES_PER_ADDRESS = 120
_MEANINGS = {**dict(SCOPES), "admin": gettext_lazy("Admin: run the hub")}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest) -> HttpResponse:
    """Ask for a code; show who asks with it; allow or deny it."""
    user = require_user(request.user)
    values = request.POST if request.method == "POST" else request.GET
    form = UserCodeForm(values if "user_code" in values else None)
    if not form.is_valid():
        return _page(request, form, status=400 if form.is_bound else 200)
    try:
        return _checked(request, user, form)
    except (Forbidden, Invalid, NotFound, RateLimited) as error:
        form.add_error("user_code", str(error.detail))
        return _page(request, form, status=status_of(error))


def _checked(request: HttpRequest, user: User, form: UserCodeForm) -> HttpResponse:
    """Show the sign-in of a code, or decide about it."""
    place, limit = address_of(request), TRIES_PER_ADDRESS
    attempts.require("device-place", place, limit=limit, window_s=device_logins.WINDOW_S)
    code = form.cleaned_data["user_code"]
    if request.method != "POST":
        return _page(request, form, device_logins.find(actor=user, user_code=code))
    is_allowed = request.POST.get("decision") == "allow"
    login = device_logins.decide(actor=user, user_code=code, is_allowed=is_allowed)
    if is_allowed:
        text = _("Allowed. Return to your terminal; this page can be closed.")
        messages.success(request, text)
    else:
        messages.success(request, _("Denied. “%(name)s” gets no token.") % {"name": login.label})
    return redirect("tokens")


def _page(
    request: HttpRequest, form: UserCodeForm, login: DeviceLogin | None = None, *, status: int = 200
) -> HttpResponse:
    scopes = [_MEANINGS[scope] for scope in login.scopes] if login is not None else []
    code = device_logins.spelled(form.cleaned_data["user_code"]) if login is not None else ""
    days: int = settings.LORARY.token_days
    context = {"form": form, "login": login, "scopes": scopes, "code": code, "days": days}
    return render(request, "pages/device_login.html", context, status=status)
