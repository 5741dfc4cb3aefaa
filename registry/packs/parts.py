"""What a user can get of a pack's parts now, and how the pack is rated with them.

A version of a pack never changes, but its parts do: they are yanked or withdrawn, or become
private. Then the pack says so and offers what remains.

The rating that a user sees is the highest one of the pack's, of each part's when the version was
published, and of each part's now if the user can see the part. It therefore never falls below what
was published, and tells nothing of what became of a part that the user cannot see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from registry.models import Adapter, Maturity, Pack, PackPart, PackVariant, VersionState

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from registry.models import PackVersion, User


class PartState(StrEnum):
    """What became of a part; the first two can be downloaded."""

    AVAILABLE = "available"
    YANKED = "yanked"
    WITHDRAWN = "withdrawn"
    PRIVATE = "private"


#: States of parts that can be downloaded.
AT_HAND = frozenset({PartState.AVAILABLE, PartState.YANKED})


@dataclass(frozen=True, slots=True)
class Part:
    """A part as a user gets it; ``reason`` says what became of it."""

    row: PackPart
    state: PartState
    reason: str

    @property
    def is_at_hand(self) -> bool:
        """Whether the user can download it."""
        return self.state in AT_HAND

    @property
    def rating(self) -> Maturity:
        """Content rating: as published, or the adapter's now if the user can see it."""
        published = Maturity(self.row.maturity)
        if self.state is PartState.PRIVATE:
            return published
        return max(published, Maturity(self.row.adapter_version.adapter.maturity), key=_rank)


def _rank(rating: Maturity) -> int:
    return rating.rank


def variants_of(version: PackVersion | None) -> list[PackVariant]:
    """Return the variants of a version, in order."""
    return list(version.variants.all()) if version is not None else []


def parts_for(
    user: User | AnonymousUser | None, variants: Iterable[PackVariant]
) -> dict[int, list[Part]]:
    """Return variant id → its parts in order; one query.

    Args:
        user: Who asks.
        variants: As ``selectors.with_parts`` reads them.
    """
    rows = {variant.pk: list(variant.parts.all()) for variant in variants}
    found = iter(as_seen_by(user, [part for parts in rows.values() for part in parts]))
    return {pk: list(islice(found, len(parts))) for pk, parts in rows.items()}


def as_seen_by(user: User | AnonymousUser | None, rows: Iterable[PackPart]) -> list[Part]:
    """Return parts, in their order, as a user gets them; one query for their adapters."""
    rows = list(rows)
    adapters = {row.adapter_version.adapter_id for row in rows}
    seen = Adapter.objects.open_to(user).filter(pk__in=adapters)
    open_ids = set(seen.values_list("pk", flat=True)) if adapters else set()
    return [_part(row, open_ids) for row in rows]


def first_adapter(
    version: PackVersion | None, parts: Mapping[int, Sequence[Part]]
) -> Adapter | None:
    """Return the adapter of the first part of a version that the user can download.

    Args:
        version: The version.
        parts: Of ``parts_for``.
    """
    every = (part for variant in variants_of(version) for part in parts.get(variant.pk, ()))
    found = next((part for part in every if part.is_at_hand), None)
    return found.row.adapter_version.adapter if found is not None else None


def _part(row: PackPart, open_ids: set[int]) -> Part:
    version = row.adapter_version
    if version.adapter_id not in open_ids:
        text = _("The adapter is private now, or was blocked.")
        return Part(row, PartState.PRIVATE, text)
    if version.state == VersionState.WITHDRAWN:
        return Part(row, PartState.WITHDRAWN, version.withdrawn_reason)
    if version.state == VersionState.YANKED:
        return Part(row, PartState.YANKED, version.yanked_reason)
    return Part(row, PartState.AVAILABLE, "")


def rating_of(pack: Pack, parts: Iterable[Part]) -> Maturity:
    """Return the content rating of a pack and the parts as a user gets them."""
    return max([Maturity(pack.maturity), *(part.rating for part in parts)], key=_rank)
