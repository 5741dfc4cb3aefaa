"""Lists of adapters for Hugging Face clients, filtered by tags; each becomes a ``Facet``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db.models import Q, prefetch_related_objects

from registry.adapters import selectors as adapter_selectors
from registry.models import Access, Adapter, File

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.models import Namespace, User

#: Columns to sort by, highest first.
SORTS = ("downloads", "updated_at", "created_at")


@dataclass(frozen=True, slots=True)
class Facet:
    """Alternative conditions, of which at least one must hold."""

    tag: str = ""
    kind: str = ""
    families: Sequence[str] = ()
    lineages: Sequence[str] = ()
    algorithm: str = ""
    licence: str = ""
    ratings: Sequence[str] = ()

    @property
    def condition(self) -> Q:
        """The alternatives as one condition; without any, nothing matches."""
        found = Q(pk__in=[])
        if self.tag:
            found |= adapter_selectors.tagged(self.tag).listed
        if self.families:
            found |= Q(family__in=self.families)
        exact = {
            "maturity__in": self.ratings,
            "kind": self.kind,
            "lineage__in": self.lineages,
            "algorithm": self.algorithm,
            "licence__iexact": self.licence,
        }
        for column, value in exact.items():
            found |= Q(**{column: value}) if value else Q(pk__in=[])
        return found


@dataclass(frozen=True, slots=True)
class TagQuery:
    """Filters and order of a list; all facets must hold, ``is_gated`` None means both."""

    search: str = ""
    owner: str = ""
    facets: Sequence[Facet] = field(default_factory=tuple)
    is_gated: bool | None = None
    sort: str = "downloads"


def listing(
    user: User | AnonymousUser | None, query: TagQuery, *, cursor: str, limit: int
) -> adapter_selectors.Page:
    """Return a page of matching adapters with their tags: public ones and the user's own.

    Raises:
        CursorInvalid: the cursor is not from this server.
    """
    rows = adapter_selectors.matching(
        user, adapter_selectors.Query(q=query.search, owner=query.owner)
    )
    for facet in query.facets:
        rows = rows.filter(facet.condition)
    if query.is_gated is not None:
        is_open = Q(access=Access.OPEN)
        rows = rows.filter(~is_open if query.is_gated else is_open)
    page = adapter_selectors.page(rows, query.sort, cursor=cursor, limit=limit)
    prefetch_related_objects(page.results, "tags")
    return page


def in_namespace(user: User, namespace: Namespace) -> QuerySet[Adapter]:
    """Return the adapters of a namespace that lists show to the user, last changed first."""
    rows = Adapter.objects.listed_for(user).filter(namespace=namespace)
    return rows.select_related("namespace").order_by("-updated_at", "-pk")


def stored_bytes(rows: Iterable[Adapter]) -> dict[int, int]:
    """Return adapter id → bytes of its files, counting each blob once."""
    files = File.objects.filter(
        revision__adapter__in=[row.pk for row in rows], blob__is_stored=True
    )
    sizes: dict[int, int] = {}
    each = files.order_by().values_list("revision__adapter", "blob", "blob__size_bytes").distinct()
    for adapter, _blob, size in each:
        sizes[adapter] = sizes.get(adapter, 0) + size
    return sizes
