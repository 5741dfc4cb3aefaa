"""How far the sweep of an adapter has to reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Max, Min

from registry.models import OUT_STATES

if TYPE_CHECKING:
    from registry.models import Adapter

__all__ = ["SLIDER", "reach_of"]

#: Tag of adapters that are used on both sides of 0, whatever their versions recommend.
SLIDER = "slider"


def reach_of(adapter: Adapter) -> tuple[float, float]:
    """Return the lowest and highest strength that any published version recommends, 0 included.

    One tagged “slider” reaches as far below 0 as above, to 1 where nobody says how far.
    """
    rows = adapter.versions.filter(state__in=OUT_STATES)
    said = rows.aggregate(
        Min("strength"), Min("strength_min"), Max("strength"), Max("strength_max")
    ).values()
    values = [value for value in said if value is not None]
    low, high = min([0.0, *values]), max([0.0, *values])
    if low == 0 and adapter.tags.filter(name=SLIDER).exists():
        low = -(high or 1.0)
    return low, high
