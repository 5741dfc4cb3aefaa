"""Lists of what a hub offers, for clients that filter by other words than its own.

A page is walked by key (``after``), so that none is repeated or left out when something is
published meanwhile, or by number (``offset``), for clients that count pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Q, QuerySet

from registry.adapters import selectors as adapter_selectors
from registry.models import Adapter, Maturity, Namespace, Tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.contrib.auth.models import AnonymousUser

    from registry.models import User

    Viewer = User | AnonymousUser | None

#: Order → column and direction; the id breaks ties.
ORDERS = {
    "downloads": ("downloads", "-"),
    "newest": ("published_at", "-"),
    "oldest": ("published_at", ""),
}


@dataclass(frozen=True, slots=True)
class ListingQuery:
    """What somebody looks for; what is None or empty does not filter.

    Attributes:
        words: All of them occur in names, titles, tags or trigger words.
        tag: One that it has.
        owner: Name of its namespace.
        numbers: Ids; an empty list finds nothing.
        which: Conditions on the adapter, all of which hold.
        since: Its newest version was published at this time or later.
        is_general: Whether what is rated mature is left out.
    """

    words: str = ""
    tag: str = ""
    owner: str = ""
    numbers: Sequence[int] | None = None
    which: Sequence[Q] = ()
    since: datetime | None = None
    is_general: bool = False


def offered(user: Viewer) -> QuerySet[Adapter]:
    """Return the adapters that have a number and a version to offer, as lists show them."""
    rows: QuerySet[Adapter] = Adapter.objects.listed_for(user)
    return rows.filter(latest_version__isnull=False)


def rows(user: Viewer, wish: ListingQuery) -> QuerySet[Adapter]:
    """Return what fits a wish, unordered."""
    query = adapter_selectors.Query(q=wish.words, tag=wish.tag, owner=wish.owner)
    found = adapter_selectors.matching(user, query).filter(latest_version__isnull=False)
    for condition in wish.which:
        found = found.filter(condition)
    if wish.numbers is not None:
        found = found.filter(pk__in=wish.numbers)
    if wish.since is not None:
        found = found.filter(published_at__gte=wish.since)
    return found.exclude(maturity=Maturity.MATURE) if wish.is_general else found


def page(
    found: QuerySet[Adapter], order: str, *, limit: int, place: Q | None = None, offset: int = 0
) -> tuple[list[Adapter], bool]:
    """Return a page, and whether there is another; two queries.

    Args:
        found: What ``rows`` returned.
        order: One of ``ORDERS``.
        limit: Most results.
        place: What ``after`` returned.
        offset: Results to leave out, where pages are counted.
    """
    column, sign = ORDERS[order]
    if place is not None:
        found = found.filter(place)
    told = found.select_related("namespace", "latest_version").prefetch_related("tags")
    told = told.defer("card", "search_text").order_by(f"{sign}{column}", f"{sign}id")
    results = list(told[offset : offset + limit + 1])
    return results[:limit], len(results) > limit


def place_of(order: str, adapter: Adapter) -> Any:  # noqa: ANN401 - a time or a number, as JSON
    """Return what an adapter is ordered by."""
    value = getattr(adapter, ORDERS[order][0])
    return value.isoformat() if isinstance(value, datetime) else value


def after(order: str, value: object, number: int) -> Q:
    """Return the condition for what comes after an adapter.

    Args:
        order: One of ``ORDERS``.
        value: What ``place_of`` returned of that adapter.
        number: Its id.

    Raises:
        ValueError: the value is none of ``place_of``.
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


def owners(user: Viewer, words: str = "") -> QuerySet[Namespace]:
    """Return those who offer something, by name; ``adapters_offered`` counts it."""
    there = Q(adapters__in=offered(user))
    found = Namespace.objects.filter(there).annotate(
        adapters_offered=Count("adapters", distinct=True)
    )
    if words:
        found = found.filter(key__contains=words.casefold())
    return found.order_by("key")


def tags(user: Viewer, words: str = "") -> QuerySet[Tag]:
    """Return the tags of what is offered, the most frequent first; ``adapters_offered`` counts."""
    there = Q(adapters__in=offered(user))
    found = Tag.objects.filter(there).annotate(adapters_offered=Count("adapters", distinct=True))
    if words:
        found = found.filter(name__contains=words.casefold())
    return found.order_by("-adapters_offered", "name")
