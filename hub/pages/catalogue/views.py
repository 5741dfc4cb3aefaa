"""The home page, search with filters, and profiles; htmx requests get only the results."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from hub.pages.adapters.content_rating import is_blurred
from hub.pages.catalogue.cards import cards_of
from hub.pages.labels import count, family_label
from hub.pages.pictures.strength_slider import Frame, sweep_of
from previews.pictures.selectors import cover_of
from previews.renders.selectors import previews_of
from registry.adapters import selectors as adapter_selectors
from registry.models import Kind
from registry.search.matching import MAX_MATCHES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.contrib.auth.models import AnonymousUser
    from django.http import HttpRequest, HttpResponse, QueryDict

    from registry.adapters.selectors import Facets, Page, Query
    from registry.models import Adapter, User

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
    """Show the home page: a search, a sweep, the newest adapters."""
    newest = adapter_selectors.search(request.user, adapter_selectors.Query(), limit=NEWEST).results
    facets = adapter_selectors.facets(request.user)
    context = {
        "cards": cards_of(request.user, newest),
        "sweep": _hero([one for one in newest if not is_blurred(request.user, one)]),
        "total": sum(n for _kind, n in facets.kinds),
        "families": _families(facets),
        "tries": [tag for tag, _n in facets.tags[:3]],
    }
    return render(request, "pages/home.html", context)


def _families(facets: Facets) -> list[dict[str, str]]:
    return [{"id": family, "label": family_label(family)} for family, _n in facets.families]


def _hero(newest: Sequence[Adapter]) -> Hero | None:
    """Return the newest adapter that has pictures, as a sweep."""
    covers = cover_of(newest)
    adapter = next((one for one in newest if covers.get(one.pk)), None)
    if adapter is None or adapter.latest_version is None:
        return None
    version = adapter.latest_version
    sweep = sweep_of(version, previews_of(version), {})
    if sweep is None:
        return None
    url = reverse("adapter", args=[adapter.owner, adapter.name])
    return Hero(adapter.display_title, url, sweep.prompt, sweep.seed, sweep.frames)


ADAPTERS_PER_PAGE = 24
#: Adapters without a public version that a profile lists.
MAX_UNPUBLISHED = 50
MAX_WORD = 200
MAX_TAGS_SHOWN = 12
#: Options of a filter that are shown; the rest is collapsed.
MAX_OPEN = 10

SORTS = {
    "relevance": gettext_lazy("Relevance"),
    "new": gettext_lazy("Newest"),
    "updated": gettext_lazy("Recently updated"),
    "downloads": gettext_lazy("Most downloads"),
}


@dataclass(frozen=True, slots=True)
class Option:
    """One value of a filter, with its count over all visible adapters."""

    value: str
    label: str
    is_chosen: bool
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Facet:
    """One filter."""

    name: str
    title: str
    chosen: str
    options: list[Option]

    @property
    def first(self) -> list[Option]:
        """Return the most frequent options, and the chosen one."""
        return [one for n, one in enumerate(self.options) if n < MAX_OPEN or one.is_chosen]

    @property
    def rest(self) -> list[Option]:
        """Return the collapsed options."""
        return [one for one in self.options[MAX_OPEN:] if not one.is_chosen]


@dataclass(frozen=True, slots=True)
class Chip:
    """An active filter, and the URL without it."""

    label: str
    without: str


@require_safe
@vary_on_headers("HX-Request")
def browse(request: HttpRequest) -> HttpResponse:
    """Show a page of matching adapters."""
    query = _query(request.GET)
    context = _results(request, query)
    if _wants_results_only(request):
        response = render(request, "includes/results.html", context)
        response.headers["HX-Push-Url"] = _address(query)
        return response
    context["facets"] = _facets(adapter_selectors.facets(request.user), query)
    return render(request, "pages/browse.html", context)


def _results(request: HttpRequest, query: Query) -> dict[str, Any]:
    cursor = request.GET.get("cursor", "")
    found = adapter_selectors.search(request.user, query, cursor=cursor, limit=ADAPTERS_PER_PAGE)
    return {
        "query": query,
        "cards": cards_of(request.user, found.results, found.snippets),
        "chips": _chips(query),
        "corrected": found.corrected,
        "sorts": _sorts(query),
        "count_text": count_text(request.user, query, found),
        **page_links(request, found, cursor),
    }


def _sorts(query: Query) -> list[Option]:
    """Return the sort orders. The first one has no value: it depends on whether there are words."""
    default = "relevance" if query.q else "new"
    others = [name for name in SORTS if name not in {default, "relevance"}]
    chosen = query.sort if query.sort in others else ""
    named = {"": SORTS[default], **{name: SORTS[name] for name in others}}
    return [Option(value, str(label), value == chosen) for value, label in named.items()]


def _wants_results_only(request: HttpRequest) -> bool:
    headers = request.headers
    return "HX-Request" in headers and "HX-History-Restore-Request" not in headers


def _query(wanted: QueryDict) -> Query:
    """Return the search query, without invalid values."""
    kind, sort = wanted.get("kind", ""), wanted.get("sort", "")
    return adapter_selectors.Query(
        q=wanted.get("q", "")[:MAX_WORD].strip(),
        family=wanted.get("family", "")[:MAX_WORD],
        kind=kind if kind in Kind.values else "",
        tag=wanted.get("tag", "")[:MAX_WORD],
        owner=wanted.get("owner", "")[:MAX_WORD],
        sort=sort if sort in SORTS else "",
    )


def count_text(user: User | AnonymousUser, query: Query, found: Page) -> str:
    """Return the number of adapters that a query finds, as text; large ones as “1,000+”."""
    total = found.total if found.total is not None else adapter_selectors.count(user, query)
    if total > MAX_MATCHES:
        return _("%(n)s+ adapters") % {"n": count(MAX_MATCHES)}
    return ngettext("%(n)d adapter", "%(n)d adapters", total) % {"n": total}


def page_links(request: HttpRequest, found: Page, cursor: str) -> dict[str, str]:
    """Return the URLs of the next page and, on later pages, of the first one."""
    wanted = request.GET.copy()
    wanted.pop("cursor", None)
    start = f"{request.path}?{wanted.urlencode()}"
    if found.next_cursor:
        wanted["cursor"] = found.next_cursor
    return {
        "older": f"{request.path}?{wanted.urlencode()}" if found.next_cursor else "",
        "newer": start if cursor else "",
    }


def _address(query: Query, *, without: str = "") -> str:
    """Return the URL of a search, without empty parameters."""
    values = {f.name: getattr(query, f.name) for f in fields(query)}
    if values["sort"] == ("relevance" if query.q and without != "q" else "new"):
        values["sort"] = ""
    kept = {name: value for name, value in values.items() if value and name != without}
    return reverse("browse") + (f"?{urlencode(kept)}" if kept else "")


def _chips(query: Query) -> list[Chip]:
    labels = {
        "q": f"“{query.q}”" if query.q else "",
        "family": family_label(query.family),
        "kind": str(Kind(query.kind).label) if query.kind else "",
        "tag": query.tag,
        "owner": query.owner,
    }
    return [Chip(label, _address(query, without=name)) for name, label in labels.items() if label]


def _facets(found: Facets, query: Query) -> list[Facet]:
    return [
        facet
        for facet in (
            _facet("family", _("Base model"), query.family, found.families, family_label),
            _facet("kind", _("Type"), query.kind, found.kinds, _kind_label),
            _facet("tag", _("Tag"), query.tag, found.tags[:MAX_TAGS_SHOWN], str),
        )
        if facet.options
    ]


def _kind_label(kind: str) -> str:
    return str(Kind(kind).label)


def _facet(
    name: str,
    title: str,
    chosen: str,
    counted: Iterable[tuple[str, int]],
    label: Callable[[str], str],
) -> Facet:
    """Return a filter; its options always include the chosen value."""
    options = [Option(value, label(value), value == chosen, n) for value, n in counted]
    if chosen and not any(option.is_chosen for option in options):
        options.append(Option(chosen, label(chosen), is_chosen=True))
    return Facet(name, title, chosen, options)


@require_safe
def profile(request: HttpRequest, owner: str) -> HttpResponse:
    """Show an owner's adapters; private and unpublished ones only to those who own them."""
    namespace = adapter_selectors.namespace(owner)
    query = adapter_selectors.Query(owner=namespace.name)
    cursor = request.GET.get("cursor", "")
    found = adapter_selectors.search(request.user, query, cursor=cursor, limit=ADAPTERS_PER_PAGE)
    unpublished = adapter_selectors.unpublished(request.user, namespace)
    context = {
        "owner": namespace,
        "is_self": request.user.is_authenticated and namespace.user_id == request.user.pk,
        "cards": cards_of(request.user, found.results),
        "unpublished": unpublished[:MAX_UNPUBLISHED],
        "count_text": count_text(request.user, query, found),
        **page_links(request, found, cursor),
    }
    return render(request, "pages/profile.html", context)
