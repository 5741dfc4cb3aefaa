"""Signing up, in and out; a new password."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from django.contrib import auth, messages
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from hub.http.callers import address_of
from hub.pages.catalogue.cards import Card, cards_of
from hub.pages.forms import PasswordForm, SignInForm, SignUpForm, accept_faults
from registry.accounts import attempts, users
from registry.accounts.permissions import require_user
from registry.adapters import selectors as adapter_selectors
from registry.errors import Invalid, LoraryError, NameInvalid, NameTaken, RateLimited
from registry.names import MAX_NAME, key_of

if TYPE_CHECKING:
    from django.forms import BaseForm
    from django.http import HttpRequest, HttpResponse

    from registry.models import User

#: Tries of one name from one place, in fifteen minutes; and of one place altogether.
TRIES, TRIES_OF_A_PLACE, WINDOW_S = 10, 60, 900
#: New accounts from one place in an hour.
SIGNUPS, SIGNUP_WINDOW_S = 20, 3600

PASSWORD_BACKEND = "django.contrib.auth.backends.ModelBackend"  # noqa: S105 - a class, no secret


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def signin(request: HttpRequest) -> HttpResponse:
    """Ask for name and password; go back to where the person was."""
    if request.user.is_authenticated:
        return redirect(_next(request))
    if request.method != "POST":
        return _door(request, "signin", SignInForm(request))
    try:
        form = _tried(request)
    except RateLimited as limited:
        return _door(request, "signin", SignInForm(request), refusal=limited)
    if not form.is_valid():
        return _door(request, "signin", form)
    auth.login(request, form.get_user())
    return redirect(_next(request))


def _tried(request: HttpRequest) -> SignInForm:
    """Return the form, filled in and judged: the try counts before a password is hashed.

    Raises:
        RateLimited: somebody is guessing.
    """
    place = address_of(request)
    who = f"{place}|{_account(request.POST.get('username', ''))}"
    attempts.require("signin-place", place, limit=TRIES_OF_A_PLACE, window_s=WINDOW_S)
    attempts.require("signin", who, limit=TRIES, window_s=WINDOW_S)
    form = SignInForm(request, data=request.POST)
    if form.is_valid():
        attempts.clear("signin", who)
    return form


def _account(text: str) -> str:
    """Return what is typed as the form reads it, so that each way to write a name counts alike."""
    return key_of(unicodedata.normalize("NFKC", text.strip()))[:MAX_NAME]


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def signup(request: HttpRequest) -> HttpResponse:
    """Make an account and sign in."""
    form = SignUpForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        return _door(request, "signup", form)
    try:
        place = address_of(request)
        attempts.require("signup", place, limit=SIGNUPS, window_s=SIGNUP_WINDOW_S)
        user = users.sign_up(**form.cleaned_data)
    except LoraryError as error:
        return _refused(request, form, error)
    auth.login(request, user, backend=PASSWORD_BACKEND)
    return redirect(_next(request))


def _refused(request: HttpRequest, form: SignUpForm, error: LoraryError) -> HttpResponse:
    if isinstance(error, NameInvalid | NameTaken):
        accept_faults(form, {"name": str(error.detail)}, "")
    elif isinstance(error, Invalid):
        accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    else:
        return _door(request, "signup", form, refusal=error)
    return _door(request, "signup", form)


@require_POST
def signout(request: HttpRequest) -> HttpResponse:
    """End the session."""
    auth.logout(request)
    return redirect("home")


@sensitive_post_parameters("old_password", "new_password1", "new_password2")
@require_http_methods(["GET", "HEAD", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Change the password of whoever knows the old one; the session goes on, others end."""
    user = require_user(request.user)
    if request.method != "POST":
        return _password_page(request, PasswordForm(user))
    try:
        form = _judged(request, user)
    except RateLimited as limited:
        return _password_page(request, PasswordForm(user), refusal=limited)
    if not form.is_valid():
        return _password_page(request, form)
    said, revokes = form.cleaned_data, form.cleaned_data["revokes_tokens"]
    users.change_password(actor=user, password=said["new_password1"], revokes_tokens=revokes)
    auth.update_session_auth_hash(request, user)
    text = _("Your password is changed. Other browsers are signed out.")
    more = _("All access tokens are revoked.") if revokes else _("Access tokens still work.")
    messages.success(request, f"{text} {more}")
    return redirect("password")


def _judged(request: HttpRequest, user: User) -> PasswordForm:
    """Return the form, filled in and judged.

    Raises:
        RateLimited: somebody is guessing.
    """
    who = str(user.pk)
    attempts.require("password", who, limit=TRIES, window_s=WINDOW_S)
    form = PasswordForm(user, request.POST)
    if "old_password" not in form.errors:
        attempts.clear("password", who)
    return form


def _password_page(
    request: HttpRequest, form: PasswordForm, *, refusal: RateLimited | None = None
) -> HttpResponse:
    context = {"form": form, "refusal": refusal.detail if refusal else ""}
    status = 429 if refusal else 400 if form.is_bound else 200
    return render(request, "pages/password.html", context, status=status)


def _next(request: HttpRequest) -> str:
    """Return where to go afterwards: a page of this site, never another's."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else "/"


def _door(
    request: HttpRequest, name: str, form: BaseForm, *, refusal: LoraryError | None = None
) -> HttpResponse:
    is_fault = refusal is not None or form.is_bound
    context = {
        "form": form,
        "refusal": refusal.detail if refusal else "",
        "next": request.POST.get("next") or request.GET.get("next") or "",
        "shelf": _shelf(),
    }
    status = 429 if isinstance(refusal, RateLimited) else 400 if is_fault else 200
    return render(request, f"pages/{name}.html", context, status=status)


def _shelf() -> list[list[Card]]:
    """Return up to nine pictures of public adapters that suit everybody, three a row."""
    cards = cards_of(
        None, adapter_selectors.search(None, adapter_selectors.Query(), limit=9).results
    )
    cards = [card for card in cards if not card.rating]
    return [cards[start : start + 3] for start in range(0, len(cards) // 3 * 3, 3)]


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
