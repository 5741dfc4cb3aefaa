"""Lists of adapters for Civitai clients, filtered by columns.

Pages are read by key (``after``), so that no adapter is repeated or skipped if one is published
in the meantime, or by ``offset``, for clients that count pages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet

from registry.adapters import selectors as adapter_selectors
from registry.database.compiled_queries import as_list, listed
from registry.models import Adapter, Maturity, User
from registry.models.adapter import AdapterQuerySet

Viewer = User | AnonymousUser | None

#: Order → column and direction; the id breaks ties.
ORDERS = {
    "downloads": ("downloads", "-"),
    "newest": ("published_at", "-"),
    "oldest": ("published_at", ""),
}


@dataclass(frozen=True, slots=True)
class ListingQuery:
    """Filters of a list; None and empty values do not filter.

    Attributes:
        words: Words that all occur in names, titles, tags or trigger words.
        tag: A tag of the adapter.
        owner: Name of its namespace.
        numbers: Ids; an empty list finds nothing.
        which: Further conditions that must all hold.
        since: Earliest time of publication of its newest version.
        ratings: Content ratings, one of which it has.
    """

    words: str = ""
    tag: str = ""
    owner: str = ""
    numbers: Sequence[int] | None = None
    which: Sequence[Q] = ()
    since: datetime | None = None
    ratings: Collection[str] = tuple(Maturity)


def offered(user: Viewer) -> AdapterQuerySet:
    """Return the listed adapters that have a latest version."""
    rows: AdapterQuerySet = Adapter.objects.listed_for(user)
    return rows.filter(latest_version__isnull=False)


def rows(user: Viewer, query: ListingQuery) -> QuerySet[Adapter]:
    """Return the adapters that match a query, unordered."""
    tags = (query.tag,) if query.tag else ()
    search = adapter_selectors.Query(q=query.words, tag=tags, owner=query.owner)
    found = adapter_selectors.matching(user, search).filter(latest_version__isnull=False)
    for condition in query.which:
        found = found.filter(condition)
    if query.numbers is not None:
        found = found.filter(pk__in=query.numbers)
    if query.since is not None:
        found = found.filter(published_at__gte=query.since)
    is_any = set(query.ratings) == set(Maturity)
    return found if is_any else found.filter(maturity__in=query.ratings)


def page(
    found: QuerySet[Adapter], order: str, *, limit: int, place: Q | None = None, offset: int = 0
) -> tuple[list[Adapter], bool]:
    """Return a page with namespaces, and whether there is another; one query.

    Args:
        found: Result of ``rows``.
        order: One of ``ORDERS``.
        limit: Maximum number of results.
        place: Result of ``after``.
        offset: Number of results to skip, if pages are counted.
    """
    column, sign = ORDERS[order]
    if place is not None:
        found = found.filter(place)
    found = found.select_related("namespace").defer("card")
    found = found.order_by(f"{sign}{column}", f"{sign}id")
    results = list(found[offset : offset + limit + 1])
    return results[:limit], len(results) > limit


def tags_of(rows: Iterable[Adapter]) -> dict[int, list[str]]:
    """Return adapter id → its tags in order; one query."""
    found: dict[int, list[str]] = {row.pk: [] for row in rows}
    marks = Adapter.tags.through.objects.filter(adapter__in=listed(as_list(found)))
    for adapter, name in marks.values_list("adapter", "tag__name"):
        found[adapter].append(name)
    return {adapter: sorted(names) for adapter, names in found.items()}


def place_of(order: str, adapter: Adapter) -> Any:  # noqa: ANN401 - a time or a number, as JSON
    """Return the value by which an adapter is ordered."""
    value = getattr(adapter, ORDERS[order][0])
    return value.isoformat() if isinstance(value, datetime) else value


def after(order: str, value: object, number: int) -> Q:
    """Return the condition for the adapters after a given one.

    Args:
        order: One of ``ORDERS``.
        value: Result of ``place_of`` for that adapter.

    Raises:
        ValueError: the value is not from ``place_of``.
    """
    column, sign = ORDERS[order]
    edge: Any = _moment(value) if column == "published_at" else _whole(value)
    beyond = "lt" if sign else "gt"
    same = Q(**{column: edge, f"pk__{beyond}": number})
    return Q(**{f"{column}__{beyond}": edge}) | same


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None or not 1970 <= moment.year < 9000:
        raise ValueError(value)
    return moment


def _whole(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError(value)
    return value
