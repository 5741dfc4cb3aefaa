"""Trying a pack: one text field, the picture with the look and the one without it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from hub.http.callers import address_of
from hub.http.cross_site import protect_sessions
from hub.http.problems import status_of
from hub.pages.adapters.content_rating import Rating, rating_at
from hub.pages.packs.tryout_form import form_of_pack
from hub.pages.packs.views import pack_of
from hub.pages.packs.visitor_tryouts import history, keys_of, remember
from previews.models import Tryout
from previews.render.recipe import MAX_SEED
from previews.tryouts import packs as pack_tryouts
from previews.tryouts import selectors
from previews.tryouts import services as tryouts
from previews.tryouts.packs import PackTryoutRequest
from previews.tryouts.selectors import TryoutStatus
from registry.accounts.permissions import require_user
from registry.errors import (
    Forbidden,
    Invalid,
    LoraryError,
    NotFound,
    RateLimited,
    StateConflict,
    Unauthenticated,
)
from registry.models import Output, Pack, PackVariant, PackVersion
from registry.packs import parts as pack_parts
from registry.packs import selectors as pack_selectors

#: Errors that are shown at the form.
_SHOWN = (Forbidden, Invalid, RateLimited, StateConflict, Unauthenticated)


class SentForm(forms.Form):
    """What the form sends; services check the texts."""

    pack = forms.CharField(max_length=200)
    version = forms.CharField(required=False, max_length=96)
    variant = forms.CharField(required=False, max_length=48)
    prompt = forms.CharField(required=False, strip=False)
    seed = forms.IntegerField(required=False, min_value=0, max_value=MAX_SEED)


@never_cache
@protect_sessions
@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    """Request a picture; a script gets the result, others are sent to its page."""
    form = SentForm(request.POST)
    if not form.is_valid():
        faults = [str(fault) for found in form.errors.values() for fault in found]
        raise Invalid(" ".join(faults), fields=form.errors)
    sent = form.cleaned_data
    owner, _slash, name = sent["pack"].partition("/")
    pack = pack_of(request, owner, name)
    variants = pack_selectors.variants_to_try(pack, sent["version"] or pack_selectors.LATEST)
    try:
        tryout = pack_tryouts.create(
            actor=request.user,
            request=PackTryoutRequest(
                variant=pack_tryouts.variant_of(request.user, variants, sent["variant"]),
                subject=sent["prompt"],
                seed=sent["seed"],
                address=address_of(request),
            ),
        )
    except _SHOWN as error:
        return _refused(request, pack, variants, error)
    response = (
        _answer(request, selectors.of_pack(request.user, tryout.key), is_new=True)
        if _is_scripted(request)
        else redirect("pack-tryout", tryout.key)
    )
    if tryout.user_id is None:
        remember(request, response, tryout.key)
    return response


def _is_scripted(request: HttpRequest) -> bool:
    return "HX-Request" in request.headers


def _refused(
    request: HttpRequest, pack: Pack, variants: list[PackVariant], error: LoraryError
) -> HttpResponse:
    context = {
        "pack": pack,
        "refusal": str(error.detail),
        "needs_account": isinstance(error, RateLimited | Unauthenticated)
        and not request.user.is_authenticated,
    }
    if not _is_scripted(request):
        prompt = request.POST.get("prompt", "")
        context["form"] = form_of_pack(request, pack, variants, prompt=prompt)
        context |= history(request)
    template = "packs/try/result.html" if _is_scripted(request) else "packs/try/page.html"
    response = render(request, template, context, status=status_of(error))
    wait = error.facts.get("retry_after")
    if wait is not None:
        response.headers["Retry-After"] = str(wait)
    return response


def _answer(request: HttpRequest, tryout: Tryout, *, is_new: bool = False) -> HttpResponse:
    """Return the result as a part of a page; the browser's own list when it has changed."""
    found = selectors.shown(tryout)
    context = _result(request, found)
    if is_new or not found.is_open:
        context |= {"is_apart": True, **history(request, new=tryout if is_new else None)}
    return render(request, "packs/try/answer.html", context)


def _result(request: HttpRequest, found: TryoutStatus) -> dict[str, Any]:
    """Return the context of the result."""
    tryout = found.tryout
    version = _version_of(tryout)
    variants = list(pack_selectors.with_parts().filter(version=version))
    variant = next(one for one in variants if one.name == tryout.variant)
    path = reverse("pack-tryout", args=[tryout.key])
    is_mine = _is_mine(request, tryout)
    parts = pack_parts.parts_for(request.user, [variant])[variant.pk]
    return {
        "shown": found,
        "key": tryout.key,
        "pack": version.pack,
        "version": version,
        "variant": variant,
        "video": _video_beside(variant, variants),
        "poll_s": found.look_again_s,
        "is_mine": is_mine,
        "is_partial": len(found.layers) < len(parts),
        "is_link": tryout.user_id is None or tryout.is_shared,
        "address": request.build_absolute_uri(path),
        "prompt": found.previews.recipe["prompts"][0],
        "rating": None if is_mine else _rating(request, variant, found, path),
    }


def _is_mine(request: HttpRequest, tryout: Tryout) -> bool:
    if tryout.user_id is None:
        # The request that began it has no cookie with its key yet.
        return tryout.key in keys_of(request) or request.method == "POST"
    return request.user.is_authenticated and tryout.user_id == request.user.pk


def _version_of(tryout: Tryout) -> PackVersion:
    if tryout.pack_version is None:
        raise NotFound
    return tryout.pack_version


def _video_beside(variant: PackVariant, variants: Iterable[PackVariant]) -> PackVariant | None:
    """Return the variant for videos that is served, if this one is for pictures."""
    if variant.output == Output.VIDEO:
        return None
    videos = (one for one in variants if one.output == Output.VIDEO)
    return next(iter(pack_tryouts.served_of(videos)), None)


def _rating(request: HttpRequest, variant: PackVariant, found: TryoutStatus, path: str) -> Rating:
    """Return the rating of a try-out that somebody else requested."""
    pack = _version_of(found.tryout).pack
    parts = pack_parts.parts_for(request.user, [variant])[variant.pk]
    level = pack_parts.rating_of(pack, parts)
    return rating_at(request, pack, level, page=path, pictures=found.previews.images)


@never_cache
@require_safe
def show(request: HttpRequest, key: UUID) -> HttpResponse:
    """Show a try-out with the form."""
    found = selectors.shown(selectors.of_pack(request.user, key))
    context = {**_result(request, found), **history(request)}
    pack, version = context["pack"], context["version"]
    context["form"] = form_of_pack(
        request,
        pack,
        list(version.variants.all()),
        version=None if pack.latest_version_id == version.pk else version,
        prompt=found.tryout.subject,
    )
    return render(request, "packs/try/page.html", context)


@never_cache
@require_safe
def state(request: HttpRequest, key: UUID) -> HttpResponse:
    """Send the result; for a deleted try-out, one that does not refresh itself."""
    try:
        return _answer(request, selectors.of_pack(request.user, key))
    except NotFound:
        return render(request, "packs/try/result.html", status=404)


@never_cache
@protect_sessions
@require_POST
def act(request: HttpRequest, key: UUID, verb: str) -> HttpResponse:
    """Share, unshare or remove a try-out."""
    if verb == "remove":
        return _remove(request, key)
    if verb not in {"share", "close"}:
        raise NotFound
    user = require_user(request.user)
    tryout = selectors.of_pack(user, key)
    tryouts.set_shared(actor=user, key=key, is_shared=verb == "share")
    if _is_scripted(request):
        return _answer(request, selectors.of_pack(user, tryout.key))
    return redirect("pack-tryout", key)


def _remove(request: HttpRequest, key: UUID) -> HttpResponse:
    tryout = selectors.of_pack(request.user, key)
    is_own = key in keys_of(request)
    pack_tryouts.remove(actor=request.user, key=key, is_own=is_own)
    if _is_scripted(request):
        context = {"is_apart": True, **history(request)}
        return render(request, "packs/try/answer.html", context)
    pack = _version_of(tryout).pack
    return redirect("pack", pack.owner, pack.name)
