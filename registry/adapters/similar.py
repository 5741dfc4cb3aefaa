"""Finds adapters similar to another one: same base model, and tags or the kind in common.

The work is bounded whatever the size of the hub: candidates are the adapters that were tagged last
with one of the adapter's rarest tags, which are the most specific.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Case, Count, IntegerField, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce

from registry.adapters import selectors
from registry.adapters.selectors import Query
from registry.database.facet_counters import TAG
from registry.models import Adapter, FacetCount, Tag

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.models import User

#: Maximum number of tags from which candidates are read, and of candidates.
RAREST, CANDIDATES = 4, 200


def similar(user: User | AnonymousUser | None, adapter: Adapter, limit: int) -> list[Adapter]:
    """Return listed adapters for the same base model, those with the most common tags first.

    If there are too few, the newest of its kind follow. If the base model is not known, they may be
    for any.
    """
    tags = _rarest_tags(adapter)
    found = _with_common_tags(user, adapter, tags, limit) if tags else []
    if len(found) < limit:
        known = {adapter.pk, *(one.pk for one in found)}
        query = Query(family=adapter.family, kind=adapter.kind)
        newest = selectors.search(user, query, limit=limit + len(known)).results
        found += [one for one in newest if one.pk not in known]
    return found[:limit]


def _with_common_tags(
    user: User | AnonymousUser | None, adapter: Adapter, tags: list[int], limit: int
) -> list[Adapter]:
    marks = Adapter.tags.through.objects.filter(tag__in=tags[:RAREST])
    newest = marks.order_by("-id").values("adapter")[:CANDIDATES]
    rows = (
        Adapter.objects.listed_for(user)
        .filter(pk__in=newest, published_at__isnull=False)
        .exclude(pk=adapter.pk)
        .annotate(
            common=Count("tags", filter=Q(tags__in=tags)),
            alike=_one_if("kind", adapter.kind) + _one_if("lineage", adapter.lineage),
        )
    )
    if adapter.family:
        rows = rows.filter(family=adapter.family)
    ordered = rows.order_by("-common", "-alike", "-downloads", "-id")
    return list(ordered.select_related("namespace", "latest_version")[:limit])


def _rarest_tags(adapter: Adapter) -> list[int]:
    """Return the ids of the tags, the rarest first."""
    counted = FacetCount.objects.filter(field=TAG, value=OuterRef("name")).values("count")
    rows = Tag.objects.filter(adapters=adapter)
    return list(rows.order_by(Coalesce(Subquery(counted), 0), "name").values_list("pk", flat=True))


def _one_if(column: str, value: str) -> Case:
    return Case(
        When(Q(**{column: value}) & ~Q(**{column: ""}), then=Value(1)),
        default=Value(0),
        output_field=IntegerField(),
    )
