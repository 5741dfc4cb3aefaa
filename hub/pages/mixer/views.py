"""The mixer: adapters with strengths on one side, their pictures on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hub.http.callers import address_of
from hub.http.problems import status_of
from hub.pages.adapters.content_rating import Rating, rating_of
from hub.pages.catalogue.cards import cards_of
from hub.pages.forms import accept_faults
from hub.pages.mixer import mix as mixes
from hub.pages.mixer.form import Mixer, look_up, mix_of_tryout, mixer_of
from hub.pages.mixer.mix import AB, GRID, Mix
from hub.pages.mixer.overlap import overlap_of, request_pairs
from hub.pages.mixer.results import Result, result_of
from previews.models import Tryout
from previews.tryouts import selectors
from previews.tryouts import services as tryouts
from registry.accounts.permissions import require_user
from registry.errors import (
    LoraryError,
    NotFound,
    RateLimited,
    StateConflict,
    TooLarge,
    Unauthenticated,
)
from registry.models import Version

#: Minimum number of seconds between refreshes of the strip.
STRIP_S = 2
#: Maximum number of the user's try-outs in the strip.
HISTORY = 12
#: Fields of the closed part of the form, which is open if one is used.
_MORE = ("template", "negative", "steps", "guidance")
#: Fields that are buttons: they change the rows.
_VERBS = ("add", "drop", "up", "down")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def mixer(request: HttpRequest) -> HttpResponse:
    """Show the mixer; POST presses a button, and redirects to the URL with the new state."""
    sent = request.POST if request.method == "POST" else request.GET
    data = dict(sent.lists())
    mix = mixes.parse(data)
    has_verbs = any(name in data for name in _VERBS)
    is_sent = request.method == "POST"
    # Enter in the search field; what was searched before may still be in it.
    is_search = mix.q not in ("", sent.get("searched", "")) and "do" not in data
    if is_sent and not has_verbs and not is_search and sent.get("do") != "search":
        return _pressed(request, mix, sent.get("do", ""))
    found = mixer_of(request.user, mix, data if has_verbs else None)
    if (is_sent or has_verbs) and not found.faults and not found.mix.is_long:
        return _redirect_to(found.mix)
    return _page(request, found, status=400 if is_sent and found.faults else 200)


def _pressed(request: HttpRequest, mix: Mix, do: str) -> HttpResponse:
    """Do what a button for the whole mix says: save or compare it, or request its pictures."""
    if do == "overlap":
        return _compare_pairs(request, mixer_of(request.user, mix))
    if do == "pack":
        if mix.is_long:
            return _refuse_to_leave(request, mixer_of(request.user, mix, is_asked=True))
        return redirect(f"{reverse('mixer-pack')}?{mix.query}")
    if do == "fresh":
        mix = replace(mix, fields={**mix.fields, "seed": ""})
    return _request_pictures(request, mixer_of(request.user, mix, is_asked=True))


def _compare_pairs(request: HttpRequest, found: Mixer) -> HttpResponse:
    """Request the comparisons of the weights; a limit is shown above the button."""
    versions = [row.version for row in found.rows]
    try:
        refusal = request_pairs(actor=request.user, versions=versions, address=address_of(request))
    except (RateLimited, StateConflict, TooLarge) as error:
        return _page(request, found, status=status_of(error), refusal=str(error.detail))
    if refusal or found.mix.is_long:
        return _page(request, found, refusal=refusal)
    return _redirect_to(found.mix)


@never_cache
@require_safe
def overlap(request: HttpRequest) -> HttpResponse:
    """Send the stack report of the adapters in the query, which refreshes itself."""
    mix = mixes.parse(dict(request.GET.lists()))
    found = (look_up(request.user, name) for name in mix.names)
    versions = [one for one in found if isinstance(one, Version)]
    context = {"overlap": overlap_of(request.user, versions)}
    return render(request, "mixer/overlap.html", context)


def _request_pictures(request: HttpRequest, found: Mixer) -> HttpResponse:
    """Request the pictures; errors are shown at their fields."""
    status, wait = 400, None
    if found.form.is_valid():
        try:
            user = require_user(request.user)
            wanted = found.tryout_requests()
            seeded = {**found.mix.fields, "seed": str(wanted[0].seed)}
            query = replace(found.mix, fields=seeded, q="").query
            first = tryouts.create_group(actor=user, requests=wanted, mix=query)
            return redirect("tryout", first.key)
        except Unauthenticated:
            if found.mix.is_long:
                return _refuse_to_leave(request, found)
            place = f"{reverse('signin')}?{_next(found.mix)}"
            if "HX-Request" in request.headers:  # the session ended while the page was open
                return HttpResponse(headers={"HX-Redirect": place})
            return redirect(place)
        except LoraryError as error:
            accept_faults(found.form, error.facts.get("fields", {}), str(error.detail))
            status = status_of(error)
            wait = error.facts.get("retry_after")
    response = _page(request, found, status=status)
    if wait is not None:
        response.headers["Retry-After"] = str(wait)
    return response


def _refuse_to_leave(request: HttpRequest, found: Mixer) -> HttpResponse:
    """Show the page again: the next one would lose texts that are too long for an address."""
    text = _("Prompt, template and negative prompt are too long together to carry over to the next "
             "page. Shorten them.")  # fmt: skip
    found.form.add_error(None, text)
    return _page(request, found, status=400)


def _next(mix: Mix) -> str:
    query = QueryDict(mutable=True)
    query["next"] = _address(mix)
    return query.urlencode()


def _address(mix: Mix) -> str:
    return f"{reverse('mixer')}?{mix.address}" if mix.address else reverse("mixer")


def _redirect_to(mix: Mix) -> HttpResponse:
    return HttpResponseRedirect(_address(mix))


def _page(
    request: HttpRequest,
    found: Mixer,
    *,
    group: Sequence[Tryout] = (),
    rendered: Mix | None = None,
    status: int = 200,
    refusal: str = "",
) -> HttpResponse:
    """Send the page.

    Args:
        rendered: The mix of the group, which may have lost rows since.
        refusal: Why the weights are not compared.
    """
    context = {
        "longest": mixes.MAX_QUERY,
        "texts": " ".join(mixes.TEXTS),
        "mixer": found,
        "modes": [("", _("One mix")), (AB, _("A and B")), (GRID, _("Grid of strengths"))],
        "has_more": any(
            found.form.errors.get(name) or found.mix.fields.get(name) for name in _MORE
        ),
        "cards": _cards(request, found),
        "overlap": overlap_of(request.user, [row.version for row in found.rows], refusal),
        **_history(request),
    }
    if group:
        context |= _result(request, group, rendered or found.mix)
    response = render(request, "mixer/page.html", context, status=status)
    if status != 200 or (found.mix.is_long and not group):  # a script shows this state
        response.headers["HX-Push-Url"] = _address(found.mix)
    return response


def _cards(request: HttpRequest, found: Mixer) -> dict[int, Any]:
    """Return adapter id → card, for the pictures of rows and of what can be added."""
    adapters = {row.version.adapter_id: row.version.adapter for row in found.rows}
    adapters |= {one.pk: one for one in found.found}
    return dict(zip(adapters, cards_of(request, list(adapters.values())), strict=True))


def _history(request: HttpRequest) -> dict[str, Any]:
    if not request.user.is_authenticated:
        return {"history": []}
    rows = selectors.listing(request.user).filter(first=None)[:HISTORY]
    shown = [selectors.shown(row, has_place=False) for row in rows]
    waits = [one.look_again_s for one in shown if one.is_open]
    return {
        "history": shown,
        "strip_s": max(STRIP_S, min(waits)) if waits else 0,
        "blanks": range(HISTORY - len(shown)),
    }


def _result(request: HttpRequest, group: Sequence[Tryout], mix: Mix) -> dict[str, Any]:
    """Return the context of the result."""
    result = result_of(group, mix)
    first = group[0]
    path = reverse("tryout", args=[first.key])
    waits = [cell.status.look_again_s for cell in result.cells if cell.status.is_open]
    return {
        "rating": _rating(request, result, path),
        "result": result,
        "shown": result.current,
        "key": first.key,
        "poll_s": min(waits, default=0),
        "is_mine": request.user.is_authenticated and first.user_id == request.user.pk,
        "address": request.build_absolute_uri(path),
        "prompt": result.first.previews.recipe["prompts"][0],
    }


def _rating(request: HttpRequest, result: Result, path: str) -> Rating | None:
    """Return the rating of another user's mix; a user's own is never blurred."""
    if result.first.tryout.user_id == request.user.pk:
        return None
    ratings = [
        rating_of(request, layer.version.adapter, page=path, pictures=cell.status.previews.images)
        for cell in result.cells
        for layer in cell.status.layers
    ]
    return max(ratings, key=lambda one: (one.is_blurred, one.level.rank), default=None)


def _group(request: HttpRequest, key: UUID) -> tuple[list[Tryout], Mix]:
    """Return the group of a try-out, and its mix as the viewer may see it."""
    group = selectors.get_group(request.user, key)
    if group[0].pack_version_id is not None:  # it has pages of its own, with the pack's rating
        raise NotFound
    mix = mix_of_tryout(selectors.shown(group[0], has_place=False))
    is_mine = group[0].user_id == request.user.pk
    return group, mix if is_mine else mix.without_muted()


@never_cache
@require_safe
def show(request: HttpRequest, key: UUID) -> HttpResponse:
    """Show a try-out and its group, with the form that requests them again."""
    if selectors.get(request.user, key).pack_version_id is not None:
        return redirect("pack-tryout", key)
    group, mix = _group(request, key)
    return _page(request, mixer_of(request.user, mix), group=group, rendered=mix)


@never_cache
@require_safe
def state(request: HttpRequest, key: UUID) -> HttpResponse:
    """Send the result; for a deleted try-out, one that does not refresh itself."""
    try:
        group, mix = _group(request, key)
    except NotFound:
        return render(request, "mixer/nothing.html", status=404)
    return render(request, "mixer/result.html", _result(request, group, mix))


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
    return render(request, "mixer/strip.html", context)


@require_POST
def act(request: HttpRequest, key: UUID, verb: str) -> HttpResponse:
    """Share, unshare or delete a try-out with its group."""
    user = require_user(request.user)
    if verb not in {"share", "close", "remove"}:
        raise NotFound
    if verb == "remove":
        try:
            mix = _group(request, key)[1]
        except NotFound:  # an adapter of it has become hidden
            mix = Mix()
        tryouts.remove(actor=user, key=key)
        return _redirect_to(mix)
    tryouts.set_shared(actor=user, key=key, is_shared=verb == "share")
    return redirect("tryout", key)
