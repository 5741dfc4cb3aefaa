"""Adapters that are used together with another: in pictures of its gallery and shared try-outs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from previews.models import Layer, Sample, SampleState
from registry.models import OUT_STATES, Adapter, File

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.models import User

#: Newest pictures and try-outs that are looked at.
NEWEST = 100


def companions(user: User | AnonymousUser | None, adapter: Adapter, limit: int) -> list[Adapter]:
    """Return listed adapters that are used together with one, the most frequent first."""
    uses = Counter[int](_of_tryouts(adapter))
    uses.update(_of_pictures(adapter))
    known = [pk for pk, _count in uses.most_common(NEWEST)]
    rows = Adapter.objects.listed_for(user).filter(pk__in=known, published_at__isnull=False)
    found = {one.pk: one for one in rows.select_related("namespace", "latest_version")}
    return [found[pk] for pk in known if pk in found][:limit]


def _of_tryouts(adapter: Adapter) -> list[int]:
    """Return the adapter of each layer beside this one's, in try-outs that are shared."""
    mine = Layer.objects.filter(version__adapter=adapter, render__tryout__is_shared=True)
    renders = list(mine.order_by("-id").values_list("render", flat=True)[:NEWEST])
    layers = Layer.objects.filter(render__in=renders).exclude(version__adapter=adapter)
    return list(layers.values_list("version__adapter", flat=True))


def _of_pictures(adapter: Adapter) -> Counter[int]:
    """Return how many pictures name weights of each other adapter."""
    rows = Sample.objects.filter(version__adapter=adapter, state=SampleState.READY)
    pictures = Counter[str]()
    for facts in rows.order_by("-id").values_list("facts", flat=True)[:NEWEST]:
        pictures.update({item["sha256"] for item in _resources(facts) if "sha256" in item})
    holders = File.objects.filter(
        blob__sha256__in=list(pictures), revision__versions__state__in=OUT_STATES
    )
    pairs = set(holders.values_list("revision__adapter", "blob__sha256"))
    own = {sha256 for pk, sha256 in pairs if pk == adapter.pk}
    uses = Counter[int]()
    for pk, sha256 in pairs:
        if sha256 not in own:  # others may have the same file
            uses[pk] += pictures[sha256]
    return uses


def _resources(facts: dict[str, Any]) -> list[dict[str, Any]]:
    found = facts.get("resources", [])
    return found if isinstance(found, list) else []
