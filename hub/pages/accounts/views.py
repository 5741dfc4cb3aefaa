"""Pages for signing up, in and out, and for changing the password."""

from __future__ import annotations

import unicodedata

from django.contrib import auth, messages
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from hub.http.callers import address_of
from hub.pages import links
from hub.pages.catalogue.cards import Card, cards_of
from hub.pages.forms import (
    RATING_HELP,
    ContentForm,
    PasswordForm,
    SignInForm,
    SignUpForm,
    accept_faults,
)
from registry.accounts import attempts, users
from registry.accounts.permissions import require_user
from registry.adapters import selectors as adapter_selectors
from registry.errors import Invalid, LoraryError, NameInvalid, NameTaken, RateLimited
from registry.models import User
from registry.names import MAX_NAME, key_of

#: Maximum number of sign-ins for one name from one address, and from one address in total, in
#: ``WINDOW_S``.
SIGN_IN_TRIES, SIGN_IN_TRIES_PER_ADDRESS = 10, 60
#: Maximum number of password changes of one account from one address, in ``WINDOW_S``.
PASSWORD_TRIES = 10
WINDOW_S = 900
#: Maximum number of new accounts from one address per hour.
SIGNUPS, SIGNUP_WINDOW_S = 20, 3600

PASSWORD_BACKEND = "django.contrib.auth.backends.ModelBackend"  # noqa: S105 - a class, not a secret


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def signin(request: HttpRequest) -> HttpResponse:
    """Sign in, and redirect to the previous page."""
    if request.user.is_authenticated:
        return redirect(_next(request))
    if request.method != "POST":
        return _sign_in_page(request, "signin", SignInForm(request))
    try:
        form = _checked_sign_in_form(request)
    except RateLimited as limited:
        return _sign_in_page(request, "signin", SignInForm(request), refusal=limited)
    if not form.is_valid():
        return _sign_in_page(request, "signin", form)
    auth.login(request, form.get_user())
    return redirect(_next(request))


def _checked_sign_in_form(request: HttpRequest) -> SignInForm:
    """Return the validated form; the attempt is counted before the password is hashed."""
    place = address_of(request)
    who = f"{place}|{_account(request.POST.get('username', ''))}"
    attempts.require("signin-place", place, limit=SIGN_IN_TRIES_PER_ADDRESS, window_s=WINDOW_S)
    attempts.require("signin", who, limit=SIGN_IN_TRIES, window_s=WINDOW_S)
    form = SignInForm(request, data=request.POST)
    if form.is_valid():
        attempts.clear("signin", who)
    return form


def _account(text: str) -> str:
    """Return the normalised name, so that all spellings of a name count as one."""
    return key_of(unicodedata.normalize("NFKC", text.strip()))[:MAX_NAME]


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def signup(request: HttpRequest) -> HttpResponse:
    """Create an account and sign in."""
    form = SignUpForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        return _sign_in_page(request, "signup", form)
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
        return _sign_in_page(request, "signup", form, refusal=error)
    return _sign_in_page(request, "signup", form)


@require_POST
def signout(request: HttpRequest) -> HttpResponse:
    """Sign out."""
    auth.logout(request)
    return redirect("home")


@sensitive_post_parameters("old_password", "new_password1", "new_password2")
@require_http_methods(["GET", "HEAD", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Change the password, given the old one; other sessions end."""
    user = require_user(request.user)
    if request.method != "POST":
        return _password_page(request, PasswordForm(user))
    try:
        form = _checked_password_form(request, user)
    except RateLimited as limited:
        return _password_page(request, PasswordForm(user), refusal=limited)
    if not form.is_valid():
        return _password_page(request, form)
    values, revokes = form.cleaned_data, form.cleaned_data["revokes_tokens"]
    users.change_password(actor=user, password=values["new_password1"], revokes_tokens=revokes)
    auth.update_session_auth_hash(request, user)
    text = _("Your password is changed. Other browsers are signed out.")
    more = _("All access tokens are revoked.") if revokes else _("Access tokens still work.")
    messages.success(request, f"{text} {more}")
    return redirect("password")


def _checked_password_form(request: HttpRequest, user: User) -> PasswordForm:
    """Return the validated form.

    Raises:
        RateLimited: there were too many attempts.
    """
    who = str(user.pk)
    attempts.require("password", who, limit=PASSWORD_TRIES, window_s=WINDOW_S)
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
    """Return the URL to redirect to, always one of this site."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    return wanted if links.is_own(request, wanted) else "/"


def _sign_in_page(
    request: HttpRequest, name: str, form: BaseForm, *, refusal: LoraryError | None = None
) -> HttpResponse:
    is_fault = refusal is not None or form.is_bound
    context = {
        "form": form,
        "refusal": refusal.detail if refusal else "",
        "next": request.POST.get("next") or request.GET.get("next") or "",
        "covers": _cover_cards(request),
    }
    status = 429 if isinstance(refusal, RateLimited) else 400 if is_fault else 200
    return render(request, f"pages/{name}.html", context, status=status)


def _cover_cards(request: HttpRequest) -> list[list[Card]]:
    """Return up to nine cards of public adapters suitable for all viewers, three per row."""
    newest = adapter_selectors.search(None, adapter_selectors.Query(), limit=9).results
    cards = cards_of(request, newest)
    cards = [card for card in cards if not card.rating]
    return [cards[start : start + 3] for start in range(0, len(cards) // 3 * 3, 3)]


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def content(request: HttpRequest) -> HttpResponse:
    """Show and save the highest rating of pictures that the user sees without a blur."""
    user = require_user(request.user)
    data = request.POST if request.method == "POST" else None
    form = ContentForm(data, initial={"level": user.shows_up_to})
    if request.method == "POST" and form.is_valid():
        users.set_shows_up_to(actor=user, level=form.cleaned_data["level"])
        messages.success(request, _("Your choice is saved."))
        return redirect("content")
    context = {"form": form, "meanings": RATING_HELP}
    return render(request, "pages/content.html", context, status=400 if form.errors else 200)
