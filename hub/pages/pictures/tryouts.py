"""Try it: a stack of versions on one side, the picture it makes on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.http import HttpResponseRedirect, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hub.http.problems import status_of
from hub.pages.adapters.content_rating import rating_of
from hub.pages.forms import accept_faults
from hub.pages.pictures.tryout_form import form_of, found_for, input_from_query, input_from_tryout
from previews.tryouts import selectors
from previews.tryouts import services as tryouts
from registry.accounts.permissions import require_user
from registry.errors import LoraryError, NotFound, Unauthenticated

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from hub.pages.adapters.content_rating import Rating
    from hub.pages.pictures.tryout_form import TryoutForm, TryoutInput
    from previews.models import Tryout
    from previews.tryouts.selectors import TryoutStatus

#: Seconds between looks, by state; what waits for a worker changes rarely.
POLL_S = {"queued": 2, "running": 1, "waiting": 15}
#: Least seconds between looks at the strip.
STRIP_S = 2
#: Frames in the strip of own try-outs.
HISTORY = 12


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def desk(request: HttpRequest) -> HttpResponse:
    """Show the desk; POST asks for the picture of what lies on it."""
    if request.method != "POST":
        said = input_from_query(request.GET).changed_by(request.GET)
        return _page(request, form_of(request.user, said))
    said = input_from_query(request.POST)
    if said.q and "do" not in request.POST:  # Enter in the search field
        return _to_desk(said)
    if request.POST.get("do") == "fresh":
        said.fields["seed"] = ""
    return _asked(request, form_of(request.user, said, is_asked=True))


def _asked(request: HttpRequest, filled: TryoutForm) -> HttpResponse:
    """Ask for the picture; a refusal comes back beside the fields that it is about."""
    status, wait = 400, None
    if filled.form.is_valid():
        try:
            user = require_user(request.user)
            asked = tryouts.create(actor=user, request=filled.tryout_request())
            return redirect("tryout", asked.key)
        except Unauthenticated:
            return redirect(f"{reverse('signin')}?{_next(filled.said)}")
        except LoraryError as error:
            accept_faults(filled.form, error.facts.get("fields", {}), str(error.detail))
            status = status_of(error)
            wait = error.facts.get("retry_after")
    response = _page(request, filled, status=status)
    if wait is not None:
        response.headers["Retry-After"] = str(wait)
    return response


def _next(said: TryoutInput) -> str:
    query = QueryDict(mutable=True)
    query["next"] = f"{reverse('try')}?{said.query}"
    return query.urlencode()


def _page(
    request: HttpRequest, laid: TryoutForm, *, found: TryoutStatus | None = None, status: int = 200
) -> HttpResponse:
    context = {"desk": laid, "signin": _next(laid.said), **_history(request)}
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
    """Return what the picture's side shows."""
    path = reverse("tryout", args=[found.tryout.key])
    url = request.build_absolute_uri(path)
    return {
        "rating": _rating(request, found, path),
        "shown": found,
        "key": found.tryout.key,
        "poll_s": POLL_S.get(found.previews.state, 0),
        "is_mine": found.tryout.user_id == request.user.pk,
        "address": url,
        "prompt": found.previews.recipe["prompts"][0],
    }


def _rating(request: HttpRequest, found: TryoutStatus, path: str) -> Rating | None:
    """Return the rating of what another's stack holds; one's own picture was asked for."""
    if found.tryout.user_id == request.user.pk:
        return None
    adapters = [layer.version.adapter for layer in found.layers]
    ratings = [
        rating_of(request, adapter, page=path, pictures=found.previews.images)
        for adapter in adapters
    ]
    mature = [rating for rating in ratings if rating is not None]
    return next((one for one in mature if one.is_blurred), next(iter(mature), None))


@require_POST
def stack(request: HttpRequest) -> HttpResponse:
    """Add, drop or move a version, or search: the stack alone for a script, else the page."""
    said = input_from_query(request.POST).changed_by(request.POST)
    if "HX-Request" not in request.headers:
        return _to_desk(said)
    context = {"desk": form_of(request.user, said), "shown": "shown" in request.POST}
    return render(request, "tryouts/changed.html", context)


def _to_desk(said: TryoutInput) -> HttpResponse:
    return HttpResponseRedirect(f"{reverse('try')}?{said.query}")


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Send the adapters that could be added."""
    laid = form_of(request.user, input_from_query(request.GET))
    found = found_for(request.user, laid.said.q, laid.family, laid.rows)
    return render(request, "tryouts/found.html", {"found": found, "desk": laid})


@never_cache
@require_safe
def show(request: HttpRequest, key: UUID) -> HttpResponse:
    """Show a try-out, with the desk as it was asked for."""
    found = selectors.shown(selectors.get(request.user, key))
    return _page(request, form_of(request.user, input_from_tryout(found)), found=found)


@never_cache
@require_safe
def state(request: HttpRequest, key: UUID) -> HttpResponse:
    """Send the picture's side alone; of one that is gone, a side that asks no more."""
    try:
        found = selectors.shown(selectors.get(request.user, key))
    except NotFound:
        return render(request, "tryouts/nothing.html", status=404)
    return render(request, "tryouts/result.html", _result(request, found))


@never_cache
@require_safe
def strip(request: HttpRequest) -> HttpResponse:
    """Send the strip of own try-outs alone, so that those that are finished show their picture."""
    require_user(request.user)
    try:
        key: UUID | str = UUID(request.GET.get("key", ""))
    except ValueError:
        key = ""
    context = {"key": key, **_history(request)}
    return render(request, "tryouts/strip.html", context)


@require_POST
def act(request: HttpRequest, key: UUID, verb: str) -> HttpResponse:
    """Share, close or remove a try-out."""
    user = require_user(request.user)
    if verb not in {"share", "close", "remove"}:
        raise NotFound
    if verb == "remove":
        tryout = selectors.shown(selectors.get(user, key))
        tryouts.remove(actor=user, key=key)
        return _to_desk(input_from_tryout(tryout))
    tryouts.set_shared(actor=user, key=key, is_shared=verb == "share")
    return redirect("tryout", key)
