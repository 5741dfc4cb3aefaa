"""Lists of adapters by what other hubs call tags: facts of which one must hold, for each tag."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db.models import Q

from registry.adapters import selectors as adapter_selectors
from registry.models import Access, Adapter, File

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.models import Namespace, User

#: Column that a sort goes by, the highest first.
SORTS = ("downloads", "updated_at", "created_at")


@dataclass(frozen=True, slots=True)
class Facet:
    """Facts of which one must hold."""

    tag: str = ""
    kind: str = ""
    families: Sequence[str] = ()
    lineages: Sequence[str] = ()
    algorithm: str = ""
    licence: str = ""

    @property
    def condition(self) -> Q:
        """The facts as a condition; nothing fits where none is named."""
        found = Q(pk__in=[])
        if self.tag:
            found |= Q(pk__in=Adapter.objects.filter(tags__name=self.tag).values("pk"))
        if self.families:
            found |= Q(family__in=self.families)
        exact = {
            "kind": self.kind,
            "lineage__in": self.lineages,
            "latest_version__algorithm": self.algorithm,
            "licence__iexact": self.licence,
        }
        for column, value in exact.items():
            found |= Q(**{column: value}) if value else Q(pk__in=[])
        return found


@dataclass(frozen=True, slots=True)
class Shelf:
    """What somebody looks for; ``is_gated`` None: both."""

    search: str = ""
    owner: str = ""
    facets: Sequence[Facet] = field(default_factory=tuple)
    is_gated: bool | None = None
    sort: str = "downloads"


def listing(
    user: User | AnonymousUser | None, shelf: Shelf, *, cursor: str, limit: int
) -> adapter_selectors.Page:
    """Return a page of the adapters that fit: public ones and the user's own.

    Raises:
        CursorInvalid: the cursor is not of this server.
    """
    rows = adapter_selectors.matching(
        user, adapter_selectors.Query(q=shelf.search, owner=shelf.owner)
    )
    for facet in shelf.facets:
        rows = rows.filter(facet.condition)
    if shelf.is_gated is not None:
        is_open = Q(access=Access.OPEN)
        rows = rows.filter(~is_open if shelf.is_gated else is_open)
    return adapter_selectors.page(rows, shelf.sort, cursor=cursor, limit=limit)


def in_namespace(user: User, namespace: Namespace) -> QuerySet[Adapter]:
    """Return the adapters of a namespace that lists show to the user, the last changed first."""
    rows = Adapter.objects.listed_for(user).filter(namespace=namespace)
    return rows.select_related("namespace").order_by("-updated_at", "-pk")


def stored_bytes(rows: Iterable[Adapter]) -> dict[int, int]:
    """Return adapter id → bytes of its files, the same bytes once each."""
    files = File.objects.filter(
        revision__adapter__in=[row.pk for row in rows], blob__is_stored=True
    )
    sizes: dict[int, int] = {}
    each = files.order_by().values_list("revision__adapter", "blob", "blob__size_bytes").distinct()
    for adapter, _blob, size in each:
        sizes[adapter] = sizes.get(adapter, 0) + size
    return sizes
