"""The page “Try it”: a stack of versions on one side, its picture on the other."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hub.http.problems import status_of
from hub.pages.adapters.content_rating import Rating, rating_of
from hub.pages.forms import accept_faults
from hub.pages.pictures.tryout_form import (
    TryoutForm,
    TryoutInput,
    form_of,
    found_for,
    input_from_query,
    input_from_tryout,
)
from previews.models import Tryout
from previews.tryouts import selectors
from previews.tryouts import services as tryouts
from previews.tryouts.selectors import TryoutStatus
from registry.accounts.permissions import require_user
from registry.errors import LoraryError, NotFound, Unauthenticated

#: Seconds between refreshes, by state; a try-out that waits for a worker changes rarely.
POLL_S = {"queued": 2, "running": 1, "waiting": 15}
#: Minimum number of seconds between refreshes of the strip.
STRIP_S = 2
#: Maximum number of the user's try-outs in the strip.
HISTORY = 12


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def tryout_page(request: HttpRequest) -> HttpResponse:
    """Show the page; POST requests a picture."""
    if request.method != "POST":
        tryout_input = input_from_query(request.GET).changed_by(request.GET)
        return _page(request, form_of(request.user, tryout_input))
    tryout_input = input_from_query(request.POST)
    if tryout_input.q and "do" not in request.POST:  # Enter in the search field
        return _redirect_to_page(tryout_input)
    if request.POST.get("do") == "fresh":
        tryout_input.fields["seed"] = ""
    return _request_tryout(request, form_of(request.user, tryout_input, is_asked=True))


def _request_tryout(request: HttpRequest, tryout_form: TryoutForm) -> HttpResponse:
    """Request a picture; errors are shown at their fields."""
    status, wait = 400, None
    if tryout_form.form.is_valid():
        try:
            user = require_user(request.user)
            tryout = tryouts.create(actor=user, request=tryout_form.tryout_request())
            return redirect("tryout", tryout.key)
        except Unauthenticated:
            return redirect(f"{reverse('signin')}?{_next(tryout_form.input)}")
        except LoraryError as error:
            accept_faults(tryout_form.form, error.facts.get("fields", {}), str(error.detail))
            status = status_of(error)
            wait = error.facts.get("retry_after")
    response = _page(request, tryout_form, status=status)
    if wait is not None:
        response.headers["Retry-After"] = str(wait)
    return response


def _next(tryout_input: TryoutInput) -> str:
    query = QueryDict(mutable=True)
    query["next"] = f"{reverse('try')}?{tryout_input.query}"
    return query.urlencode()


def _page(
    request: HttpRequest,
    tryout_form: TryoutForm,
    *,
    found: TryoutStatus | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {"tryout_form": tryout_form, "signin": _next(tryout_form.input), **_history(request)}
    if found is not None:
        context |= _result(request, found)
    return render(request, "tryouts/page.html", context, status=status)


def _history(request: HttpRequest) -> dict[str, Any]:
    if not request.user.is_authenticated:
        return {"history": []}
    rows: list[Tryout] = list(selectors.listing(request.user)[:HISTORY])
    shown = [selectors.shown(row) for row in rows]
    waits = [POLL_S[one.previews.state] for one in shown if one.previews.state in POLL_S]
    return {
        "history": shown,
        "strip_s": max(STRIP_S, min(waits)) if waits else 0,
        "blanks": range(HISTORY - len(rows)),
    }


def _result(request: HttpRequest, found: TryoutStatus) -> dict[str, Any]:
    """Return the context of the result."""
    path = reverse("tryout", args=[found.tryout.key])
    url = request.build_absolute_uri(path)
    return {
        "rating": _rating(request, found, path),
        "shown": found,
        "key": found.tryout.key,
        "poll_s": POLL_S.get(found.previews.state, 0),
        "is_mine": request.user.is_authenticated and found.tryout.user_id == request.user.pk,
        "address": url,
        "prompt": found.previews.recipe["prompts"][0],
    }


def _rating(request: HttpRequest, found: TryoutStatus, path: str) -> Rating | None:
    """Return the rating of another user's stack; a user's own is never blurred."""
    if found.tryout.user_id == request.user.pk:
        return None
    adapters = [layer.version.adapter for layer in found.layers]
    ratings = [
        rating_of(request, adapter, page=path, pictures=found.previews.images)
        for adapter in adapters
    ]
    return max(ratings, key=lambda one: (one.is_blurred, one.level.rank), default=None)


@require_POST
def stack(request: HttpRequest) -> HttpResponse:
    """Add, drop or move a version, or search: sends the stack to a script, otherwise the page."""
    tryout_input = input_from_query(request.POST).changed_by(request.POST)
    if "HX-Request" not in request.headers:
        return _redirect_to_page(tryout_input)
    context = {"tryout_form": form_of(request.user, tryout_input), "shown": "shown" in request.POST}
    return render(request, "tryouts/changed.html", context)


def _redirect_to_page(tryout_input: TryoutInput) -> HttpResponse:
    return HttpResponseRedirect(f"{reverse('try')}?{tryout_input.query}")


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Send the adapters that can be added."""
    tryout_form = form_of(request.user, input_from_query(request.GET))
    found = found_for(request.user, tryout_form.input.q, tryout_form.family, tryout_form.rows)
    return render(request, "tryouts/found.html", {"found": found, "tryout_form": tryout_form})


@never_cache
@require_safe
def show(request: HttpRequest, key: UUID) -> HttpResponse:
    """Show a try-out with its form."""
    tryout = selectors.get(request.user, key)
    if tryout.pack_version_id is not None:
        return redirect("pack-tryout", key)
    found = selectors.shown(tryout)
    return _page(request, form_of(request.user, input_from_tryout(found)), found=found)


@never_cache
@require_safe
def state(request: HttpRequest, key: UUID) -> HttpResponse:
    """Send the result; for a deleted try-out, one that does not refresh itself."""
    try:
        found = selectors.shown(selectors.get(request.user, key))
    except NotFound:
        return render(request, "tryouts/nothing.html", status=404)
    return render(request, "tryouts/result.html", _result(request, found))


@never_cache
@require_safe
def strip(request: HttpRequest) -> HttpResponse:
    """Send the strip of the user's try-outs, which refreshes itself."""
    require_user(request.user)
    try:
        key: UUID | str = UUID(request.GET.get("key", ""))
    except ValueError:
        key = ""
    context = {"key": key, **_history(request)}
    return render(request, "tryouts/strip.html", context)


@require_POST
def act(request: HttpRequest, key: UUID, verb: str) -> HttpResponse:
    """Share, unshare or delete a try-out."""
    user = require_user(request.user)
    if verb not in {"share", "close", "remove"}:
        raise NotFound
    if verb == "remove":
        tryout = selectors.shown(selectors.get(user, key))
        tryouts.remove(actor=user, key=key)
        return _redirect_to_page(input_from_tryout(tryout))
    tryouts.set_shared(actor=user, key=key, is_shared=verb == "share")
    return redirect("tryout", key)
