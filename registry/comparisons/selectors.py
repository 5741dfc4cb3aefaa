"""Comparisons of versions: what there is, and why two versions cannot be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _

from lorary.anatomy import family_title
from registry.blobs.anatomies import allowed_families
from registry.errors import Forbidden, Gone
from registry.models import (
    DerivedState,
    User,
    Version,
    VersionComparison,
    VersionState,
)
from registry.versions import files as served_files
from registry.versions import selectors as version_selectors
from registry.versions.selectors import name_of

#: State of a comparison that nobody has requested.
ABSENT = "absent"


class Obstacle(NamedTuple):
    """Why two versions cannot be compared: a code as of a refusal, and a sentence."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Compared:
    """The comparison of two versions, in the order in which they were named.

    Attributes:
        row: Its row; None if nobody has requested it.
        obstacle: Why it cannot be computed, without reading a tensor; None if it may be.
    """

    first: Version
    second: Version
    row: VersionComparison | None = None
    obstacle: Obstacle | None = None

    @property
    def state(self) -> str:
        """One of ``DerivedState``, or ``ABSENT``."""
        if self.obstacle is not None:
            return DerivedState.REFUSED.value
        return ABSENT if self.row is None else self.row.state

    @property
    def is_open(self) -> bool:
        """Whether it is being computed."""
        return self.state == DerivedState.QUEUED

    @property
    def is_ready(self) -> bool:
        """Whether it has a result."""
        return self.state == DerivedState.READY

    @property
    def refusal(self) -> str:
        """Code of the reason why it cannot be computed; empty otherwise."""
        if self.obstacle is not None:
            return self.obstacle.code
        return self.row.refusal if self.row is not None else ""

    @property
    def reason(self) -> str:
        """Why it cannot be computed, or failed."""
        if self.obstacle is not None:
            return self.obstacle.reason
        return self.row.reason if self.row is not None else ""

    @property
    def result(self) -> dict[str, Any]:
        """The document of ``lorary compare --json``; {} until it is ready."""
        if self.row is None or not self.is_ready:
            return {}
        found: dict[str, Any] = self.row.result
        return found if self.first.pk == self.row.first_id else _turned(found)


def _turned(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result with its sides exchanged."""
    return {
        **found,
        "blocks": [{**one, "energy": one["energy"][::-1]} for one in found["blocks"]],
        "energy": found["energy"][::-1],
        "metadata": {key: values[::-1] for key, values in found["metadata"].items()},
    }


def require_readable(user: User | AnonymousUser | None, versions: Iterable[Version]) -> None:
    """Require that a user who sees these versions may also download their files.

    A comparison tells of every weight and of the metadata.

    Raises:
        Forbidden: an adapter is gated.
        Gone: a version was withdrawn.
    """
    for version in versions:
        served_files.require_access(user, version.adapter)
        if version.state == VersionState.WITHDRAWN:
            raise version_selectors.gone(version)


def find(user: User | AnonymousUser | None, first: Version, second: Version) -> Compared:
    """Return the comparison of two versions that the user sees, if there is one.

    Raises:
        Forbidden, Gone: as ``require_readable``.
    """
    require_readable(user, (first, second))
    obstacle = obstacle_of(first, second)
    return Compared(first, second, None if obstacle else _row(first, second), obstacle)


def _row(first: Version, second: Version) -> VersionComparison | None:
    return VersionComparison.objects.filter(**ordered(first, second)).first()


def ordered(first: Version, second: Version) -> dict[str, Version]:
    """Return the columns of the row of two versions."""
    low, high = sorted((first, second), key=lambda version: version.pk)
    return {"first": low, "second": high}


def pairs_of(user: User | AnonymousUser | None, versions: Sequence[Version]) -> list[Compared]:
    """Return the comparisons of all pairs of versions whose files a user may download.

    Headers are not read for obstacles. One query, and one for each gated adapter.
    """
    readable = [version for version in versions if _is_readable(user, version)]
    if len(readable) < 2:
        return []
    keys = [version.pk for version in readable]
    rows = VersionComparison.objects.filter(first__in=keys, second__in=keys)
    known = {frozenset((row.first_id, row.second_id)): row for row in rows}
    return [
        Compared(one, other, known.get(frozenset((one.pk, other.pk))))
        for one, other in combinations(readable, 2)
    ]


def _is_readable(user: User | AnonymousUser | None, version: Version) -> bool:
    try:
        require_readable(user, (version,))
    except (Forbidden, Gone):
        return False
    return True


def obstacle_of(first: Version, second: Version) -> Obstacle | None:
    """Return why the weights of two versions cannot be compared, by what their headers show."""
    if first.pk == second.pk:
        return Obstacle("same_version", _("Both sides are the same version."))
    families: list[set[str]] = []
    for version in (first, second):
        primary = version.primary_file
        if primary is None or not primary.blob.is_stored:
            text = _("%(version)s has no weights on this hub.")
            return Obstacle("no_weights", text % {"version": name_of(version)})
        base = version_selectors.document_of(version, primary).get("base") or {}
        families.append(set(allowed_families(base)))
    if all(families) and families[0].isdisjoint(families[1]):
        text = _(
            "%(one)s is for %(base)s, %(other)s for %(theirs)s: the weights of different base "
            "models have nothing in common that could be compared."
        )
        facts = {
            "one": name_of(first),
            "base": _title(first, families[0]),
            "other": name_of(second),
            "theirs": _title(second, families[1]),
        }
        return Obstacle("families_differ", text % facts)
    return None


def _title(version: Version, families: set[str]) -> str:
    """Return the title of a version's base model; its owner may have said which of several."""
    return family_title(version.family if version.family in families else min(families))
