"""The home page, search with filters, and profiles.

htmx requests only get the changed parts: filters and results, or the next page of a list.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from hub.pages.adapters.content_rating import SHOW, asked_level, is_blurred, level_of
from hub.pages.catalogue import filters
from hub.pages.catalogue.cards import Card, cards_of
from hub.pages.catalogue.checkpoint import Choice, choice_of
from hub.pages.packs.tryout_form import home_form
from hub.pages.pictures.strength_slider import Frame, sweep_of
from previews.covers.selectors import covers_of
from previews.renders.selectors import previews_of
from registry.adapters import facets
from registry.adapters import selectors as adapter_selectors
from registry.errors import NotFound
from registry.models import Namespace
from registry.packs import selectors as pack_selectors
from registry.packs.selectors import PackQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpRequest, HttpResponse

    from previews.pictures.selectors import Picture
    from registry.adapters.selectors import Page
    from registry.models import Adapter, Pack

NEWEST = 10


@dataclass(frozen=True, slots=True)
class Hero:
    """An adapter with pictures at rising strength."""

    title: str
    url: str
    prompt: str
    seed: int
    frames: list[Frame]


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the home page: a search, a sweep or a cover, the newest adapters."""
    query, choice = adapter_selectors.Query(), choice_of(request)
    query = choice.narrow(query) if choice else query
    newest = adapter_selectors.search(request.user, query, limit=NEWEST).results
    found = facets.overall(request.user, ("kind", "tag"))
    covers = covers_of(newest)
    cards = cards_of(request, newest, known=covers, doubt=_doubt(choice))
    shown = [one for one in newest if _is_shown(request, one, covers[one.pk])]
    sweep = _hero(request, [one for one in shown if not _is_uploaded(covers[one.pk])])
    lead = _lead(shown, newest, cards) if sweep is None else None
    context = {
        "works_with": choice,
        "here": reverse("home"),
        "cards": cards,
        "sweep": sweep,
        "lead": lead,
        "below": sweep or lead,
        "total": sum(number for _kind, number in found["kind"].values),
        "looks": home_form(request),
        "tries": [tag for tag, _count in found["tag"].values[:3]],
    }
    return render(request, "pages/home.html", context)


def _is_uploaded(cover: Picture | None) -> bool:
    return cover is not None and cover.is_uploaded


def _hero(request: HttpRequest, rendered: Sequence[Adapter]) -> Hero | None:
    """Return the newest adapter with rendered pictures that are not blurred, as a sweep."""
    adapter = next(iter(rendered), None)
    if adapter is None or adapter.latest_version is None:
        return None
    version = adapter.latest_version
    sweep = sweep_of(version, previews_of(version), {})
    if sweep is None or not all(_is_shown(request, adapter, one.picture) for one in sweep.frames):
        return None
    url = reverse("adapter", args=[adapter.owner, adapter.name])
    return Hero(adapter.display_title, url, sweep.prompt, sweep.seed, sweep.frames)


def _lead(
    shown: Sequence[Adapter], newest: Sequence[Adapter], cards: Sequence[Card]
) -> Card | None:
    """Return the card of the newest adapter with a picture."""
    first = next(iter(shown), None)
    return None if first is None else cards[newest.index(first)]


def _is_shown(request: HttpRequest, adapter: Adapter, picture: Picture | None) -> bool:
    """Whether there is a picture, which is not blurred for the viewer."""
    if picture is None:
        return False
    level = level_of(adapter, picture.maturity)
    return not is_blurred(request.user, adapter, level, asked_level(request))


ADAPTERS_PER_PAGE = 24
#: Number of packs above the results of a search.
PACKS = 5
#: Number of pages that scrolling adds until “Show more” must be pressed, so that the footer is
#: reachable.
PAGES_AT_ONCE = 5
#: Maximum card number that a URL may request.
MAX_NUMBER = 10**7
#: Maximum number of adapters without a public version that a profile lists.
MAX_UNPUBLISHED = 50


@require_safe
@vary_on_headers("HX-Request", "HX-History-Restore-Request")
def browse(request: HttpRequest) -> HttpResponse:
    """Show a page of matching adapters."""
    query, choice = filters.query_of(request.GET), choice_of(request)
    narrow = choice.narrow(query) if choice else query
    cursor = request.GET.get("cursor", "")
    found = adapter_selectors.search(request.user, narrow, cursor=cursor, limit=ADAPTERS_PER_PAGE)
    if cursor and _wants_part(request):
        return _next_page(request, found)
    total, values = facets.matching(request.user, narrow, found)
    context = {
        "canonical": filters.address(replace(query, sort="")),
        "works_with": choice,
        "is_overruled": choice is not None and not choice.applies_to(query),
        "here": filters.address(query),
        "query": query,
        "chips": filters.chips(query),
        "corrected": found.corrected,
        "sorts": filters.sorts(query),
        "count_text": filters.count_text(total),
        "packs": _packs(request, query.q),
        "facets": filters.facet_list(values, query),
        "ranges": filters.ranges(query),
        **_page(request, found),
    }
    if not _wants_part(request):
        return render(request, "pages/browse.html", context)
    response = render(request, "includes/listing.html", context)
    if SHOW not in request.GET:  # to reveal one picture is not another search
        response.headers["HX-Push-Url"] = filters.address(query)
    return response


def _packs(request: HttpRequest, text: str) -> list[Pack]:
    """Return the first packs that match a search by words, and one more."""
    if not text:
        return []
    rows = pack_selectors.search(request.user, PackQuery(q=text)).select_related("namespace")
    return list(pack_selectors.ranked(rows)[: PACKS + 1])


@require_safe
def values(request: HttpRequest) -> HttpResponse:
    """Show the values of a filter that contain a text; without one, the most frequent.

    Raises:
        NotFound: there is no such filter.
    """
    name = request.GET.get("filter", "")
    if name not in filters.MANY:
        raise NotFound(_("There is nothing at this address."))
    text = request.GET.get(f"{name}_within", "").strip()
    query, choice = filters.query_of(request.GET), choice_of(request)
    narrow = choice.narrow(query) if choice else query
    found = facets.matching(request.user, narrow)[1].get(name, facets.Facet())
    known = facets.values(request.user, name, text, limit=filters.MAX_OPEN) if text else []
    facet = filters.values_with(text, name, query, found, known)
    return render(request, "includes/options.html", {"facet": facet, "within": text})


def _wants_part(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of the page; going back needs the whole page."""
    headers = request.headers
    return "HX-Request" in headers and "HX-History-Restore-Request" not in headers


def _next_page(request: HttpRequest, found: Page) -> HttpResponse:
    """Return the cards that scrolling adds to a list, and the link to the following ones."""
    return render(request, "includes/more.html", _page(request, found))


def _page(request: HttpRequest, found: Page) -> dict[str, Any]:
    """Return the cards of a page, and the URLs of the next page and, on later ones, of the first.

    Numbering continues: ``after`` in the URL is the number of cards on the previous pages.
    """
    wanted = request.GET.copy()
    cursor, after = wanted.pop("cursor", [""])[-1], wanted.pop("after", ["0"])[-1]
    begin = int(after) if after.isdecimal() and cursor else 0
    begin = min(begin, MAX_NUMBER)
    end = begin + len(found.results)
    start = f"{request.path}?{wanted.urlencode()}"
    wanted["cursor"], wanted["after"] = found.next_cursor, str(end)
    return {
        "cards": cards_of(
            request, found.results, found, after=begin, doubt=_doubt(choice_of(request))
        ),
        "older": f"{request.path}?{wanted.urlencode()}" if found.next_cursor else "",
        "newer": start if cursor else "",
        "is_automatic": end // ADAPTERS_PER_PAGE % (PAGES_AT_ONCE + 1) != 0,
    }


def _doubt(choice: Choice | None) -> Callable[[Adapter], str] | None:
    return choice.doubt_about if choice else None


@require_safe
@vary_on_headers("HX-Request", "HX-History-Restore-Request")
def profile(request: HttpRequest, owner: str) -> HttpResponse:
    """Show an owner's adapters; private and unpublished ones only to users who own them."""
    namespace = adapter_selectors.namespace(owner)
    query, choice = adapter_selectors.Query(owner=namespace.name), choice_of(request)
    query = choice.narrow(query) if choice else query
    cursor = request.GET.get("cursor", "")
    found = adapter_selectors.search(request.user, query, cursor=cursor, limit=ADAPTERS_PER_PAGE)
    if cursor and _wants_part(request):
        return _next_page(request, found)
    unpublished = adapter_selectors.unpublished(request.user, namespace)
    context = {
        "owner": namespace,
        "works_with": choice,
        "here": request.get_full_path(),
        "is_self": request.user.is_authenticated and namespace.user_id == request.user.pk,
        "is_member": namespace.user_id is None and _is_member(request, namespace),
        "unpublished": unpublished[:MAX_UNPUBLISHED],
        "count_text": filters.count_text(facets.total(request.user, query)),
        **_page(request, found),
    }
    return render(request, "pages/profile.html", context)


def _is_member(request: HttpRequest, namespace: Namespace) -> bool:
    return request.user.is_authenticated and namespace.is_home_of(request.user)
