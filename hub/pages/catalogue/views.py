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
from hub.pages.catalogue.cards import Card, cards_of
from hub.pages.labels import count, family_label
from hub.pages.pictures.strength_slider import Frame, sweep_of
from lorary.anatomy import algorithm_title
from previews.covers.selectors import covers_of
from previews.renders.selectors import previews_of
from registry.adapters import facets
from registry.adapters import selectors as adapter_selectors
from registry.models import Kind, Maturity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django.http import HttpRequest, HttpResponse, QueryDict

    from previews.pictures.selectors import Picture
    from registry.adapters.selectors import Page, Query
    from registry.models import Adapter

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
    newest = adapter_selectors.search(request.user, adapter_selectors.Query(), limit=NEWEST).results
    found = facets.overall(request.user, ("family", "kind", "tag"))
    covers = covers_of(newest)
    cards = cards_of(request.user, newest, known=covers)
    shown = [one for one in newest if covers.get(one.pk) and not is_blurred(request.user, one)]
    sweep = _hero([one for one in shown if not _is_uploaded(covers[one.pk])])
    lead = _lead(shown, newest, cards) if sweep is None else None
    context = {
        "cards": cards,
        "sweep": sweep,
        "lead": lead,
        "below": sweep or lead,
        "total": sum(number for _kind, number in found["kind"].values),
        "families": [
            {"id": family, "label": family_label(family)}
            for family, _count in found["family"].values
        ],
        "tries": [tag for tag, _count in found["tag"].values[:3]],
    }
    return render(request, "pages/home.html", context)


def _is_uploaded(cover: Picture | None) -> bool:
    return cover is not None and cover.is_uploaded


def _hero(rendered: Sequence[Adapter]) -> Hero | None:
    """Return the newest adapter with rendered pictures, as a sweep."""
    adapter = next(iter(rendered), None)
    if adapter is None or adapter.latest_version is None:
        return None
    version = adapter.latest_version
    sweep = sweep_of(version, previews_of(version), {})
    if sweep is None:
        return None
    url = reverse("adapter", args=[adapter.owner, adapter.name])
    return Hero(adapter.display_title, url, sweep.prompt, sweep.seed, sweep.frames)


def _lead(
    shown: Sequence[Adapter], newest: Sequence[Adapter], cards: Sequence[Card]
) -> Card | None:
    """Return the card of the newest adapter with a picture."""
    first = next(iter(shown), None)
    return None if first is None else cards[newest.index(first)]


ADAPTERS_PER_PAGE = 24
#: Adapters without a public version that a profile lists.
MAX_UNPUBLISHED = 50
MAX_WORD = 200
#: Values that are shown of filters with any number of values.
MAX_SHOWN = 12
#: Options of a filter that are shown; the rest is collapsed.
MAX_OPEN = 10

#: Filters in the order of the page, with their titles; the owner has no list of choices.
TITLES = {
    "family": gettext_lazy("Base model"),
    "lineage": gettext_lazy("Lineage"),
    "kind": gettext_lazy("Type"),
    "tag": gettext_lazy("Tag"),
    "method": gettext_lazy("Method"),
    "licence": gettext_lazy("Licence"),
    "maturity": gettext_lazy("Content rating"),
    "owner": gettext_lazy("Owner"),
}
#: Filters with any number of values.
MANY = frozenset({"lineage", "tag", "licence", "owner"})
#: Filters that are shown with a single value as well.
ALWAYS = frozenset({"family", "kind", "tag"})
#: Value of the filter by pictures.
WITH_PICTURES = "yes"
#: Filter → function that returns the text of a value.
LABELS: dict[str, Callable[[str], str]] = {
    "family": family_label,
    "lineage": str,
    "kind": lambda kind: str(Kind(kind).label),
    "tag": str,
    "method": algorithm_title,
    "licence": str,
    "maturity": lambda maturity: str(Maturity(maturity).label),
    "owner": str,
    "pictures": lambda _is_chosen: _("With pictures"),
}

SORTS = {
    "relevance": gettext_lazy("Relevance"),
    "new": gettext_lazy("Newest"),
    "updated": gettext_lazy("Recently updated"),
    "downloads": gettext_lazy("Most downloads"),
}


@dataclass(frozen=True, slots=True)
class Option:
    """One value of a filter, with the number of its adapters as text."""

    value: str
    label: str
    is_chosen: bool
    count: str = ""


@dataclass(frozen=True, slots=True)
class Facet:
    """One filter."""

    name: str
    title: str
    chosen: str
    options: list[Option]

    @property
    def is_useful(self) -> bool:
        """Whether it is in use, or has a choice that its name alone does not tell."""
        least = 1 if self.chosen or self.name in ALWAYS else 2
        return len(self.options) >= least

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
    cursor = request.GET.get("cursor", "")
    found = adapter_selectors.search(request.user, query, cursor=cursor, limit=ADAPTERS_PER_PAGE)
    if _wants_results_only(request):
        total = facets.total(request.user, query, found.matches)
        context = _results(request, query, found, total)
        response = render(request, "includes/results.html", context)
        response.headers["HX-Push-Url"] = _address(query)
        return response
    total, values = facets.matching(request.user, query, found.matches)
    context = _results(request, query, found, total) | {"facets": _facets(values, query)}
    return render(request, "pages/browse.html", context)


def _results(
    request: HttpRequest, query: Query, found: Page, total: facets.Total
) -> dict[str, Any]:
    return {
        "query": query,
        "cards": cards_of(request.user, found.results, found.snippets),
        "chips": _chips(query),
        "corrected": found.corrected,
        "sorts": _sorts(query),
        "count_text": count_text(total),
        **page_links(request, found, request.GET.get("cursor", "")),
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
    kind, sort, maturity = (wanted.get(name, "") for name in ("kind", "sort", "maturity"))
    return adapter_selectors.Query(
        q=wanted.get("q", "")[:MAX_WORD].strip(),
        family=wanted.get("family", "")[:MAX_WORD],
        kind=kind if kind in Kind.values else "",
        tag=wanted.get("tag", "")[:MAX_WORD],
        owner=wanted.get("owner", "")[:MAX_WORD],
        sort=sort if sort in SORTS else "",
        lineage=wanted.get("lineage", "")[:MAX_WORD],
        method=wanted.get("method", "")[:MAX_WORD],
        maturity=maturity if maturity in Maturity.values else "",
        licence=wanted.get("licence", "")[:MAX_WORD],
        pictures=wanted.get("pictures") == WITH_PICTURES,
    )


def count_text(total: facets.Total) -> str:
    """Return the number of adapters that a query finds, as text."""
    text = ngettext("%(n)s adapter", "%(n)s adapters", total.adapters)
    return text % {"n": _number(total.adapters, is_capped=total.is_capped)}


def _number(adapters: int, *, is_capped: bool) -> str:
    """Return a number of adapters, with a plus sign if there are more."""
    return f"{count(adapters)}+" if is_capped else count(adapters)


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
    values["pictures"] = WITH_PICTURES if query.pictures else ""
    if values["sort"] == ("relevance" if query.q and without != "q" else "new"):
        values["sort"] = ""
    kept = {name: value for name, value in values.items() if value and name != without}
    return reverse("browse") + (f"?{urlencode(kept)}" if kept else "")


def _chips(query: Query) -> list[Chip]:
    labels = {"q": f"“{query.q}”" if query.q else ""}
    for name, label in LABELS.items():
        value = getattr(query, name)
        labels[name] = label(value) if value else ""
    return [Chip(label, _address(query, without=name)) for name, label in labels.items() if label]


def _facets(found: Mapping[str, facets.Facet], query: Query) -> list[Facet]:
    """Return the filters that have a choice, or that are in use."""
    shown = [_facet(name, query, found[name]) for name in TITLES if name in found]
    choices = [one for one in shown if one.is_useful]
    chosen = WITH_PICTURES if query.pictures else ""
    pictures = Option(WITH_PICTURES, _("With pictures"), is_chosen=query.pictures)
    return [*choices, Facet("pictures", _("Pictures"), chosen, [pictures])]


def _facet(name: str, query: Query, found: facets.Facet) -> Facet:
    """Return a filter; its options always include the chosen value."""
    chosen, label = getattr(query, name), LABELS[name]
    most = MAX_SHOWN if name in MANY else None
    options = [
        Option(value, label(value), value == chosen, _number(number, is_capped=found.is_capped))
        for value, number in found.values[:most]
    ]
    if chosen and not any(option.is_chosen for option in options):
        options.append(Option(chosen, label(chosen), is_chosen=True))
    return Facet(name, str(TITLES[name]), chosen, options)


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
        "count_text": count_text(facets.total(request.user, query)),
        **page_links(request, found, cursor),
    }
    return render(request, "pages/profile.html", context)
