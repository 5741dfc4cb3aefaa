"""Aliases: where they point, and where they pointed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Prefetch
from django.utils.translation import gettext as _

from registry.errors import NotFound
from registry.models import Alias, AliasMove, Revision, Version, VersionState
from registry.versions import selectors as version_selectors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from registry.models import Adapter

__all__ = [
    "Pointer", "by_version", "get", "history", "listing", "moves", "nothing_named", "pointers",
    "revision_named",
]  # fmt: skip

_VERSION_TAG = r"^v[0-9]+$"
_NUMBER = re.compile(r"v([1-9][0-9]{0,8})\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


@dataclass(frozen=True, slots=True)
class Pointer:
    """An alias with the version that it names; None where its revision has none.

    A commit of a card alone is no version: there it is the one whose weights it still has.
    """

    alias: Alias
    version: Version | None
    last: AliasMove | None


def listing(adapter: Adapter) -> QuerySet[Alias]:
    """Return the aliases that point somewhere, by name; ``vN`` are versions and left out."""
    rows = adapter.aliases.filter(revision__isnull=False).exclude(name__regex=_VERSION_TAG)
    return rows.select_related("revision").order_by("name")


def pointers(aliases: Iterable[Alias]) -> list[Pointer]:
    """Return aliases of one adapter with their versions and last moves."""
    rows = list(aliases)
    named = _versions_of(rows)
    moves = AliasMove.objects.filter(alias__in=rows).select_related("actor").order_by("pk")
    last = {move.alias_id: move for move in moves}
    return [Pointer(row, named.get(row.revision_id or 0), last.get(row.pk)) for row in rows]


def _versions_of(aliases: Iterable[Alias]) -> dict[int, Version]:
    """Return revision id → the version it is, or whose weights it has; drafts are none yet."""
    revisions = [alias.revision for alias in aliases if alias.revision is not None]
    return version_selectors.standing_for(
        Version.objects.exclude(state=VersionState.DRAFT), revisions
    )


def by_version(adapter: Adapter) -> dict[int, list[str]]:
    """Return version id → names of the aliases that name it."""
    rows = list(listing(adapter))
    found, named = _versions_of(rows), dict[int, list[str]]()
    for alias in rows:
        if version := found.get(alias.revision_id or 0):
            named.setdefault(version.pk, []).append(alias.name)
    return named


def get(adapter: Adapter, name: str) -> Alias:
    """Return an alias that points somewhere.

    Raises:
        NotFound: there is none.
    """
    found = listing(adapter).filter(name=name).first()
    if found is None:
        raise _absent(adapter, name)
    return found


def history(adapter: Adapter, name: str) -> QuerySet[AliasMove]:
    """Return the moves of an alias, newest first, also of one that was removed.

    Raises:
        NotFound: there never was such an alias.
    """
    alias = adapter.aliases.exclude(name__regex=_VERSION_TAG).filter(name=name).first()
    if alias is None:
        raise _absent(adapter, name)
    return moves(adapter).filter(alias=alias)


def moves(adapter: Adapter) -> QuerySet[AliasMove]:
    """Return the moves of all aliases of an adapter, newest first."""
    named = Prefetch("versions", Version.objects.exclude(state=VersionState.DRAFT))
    revisions = Revision.objects.prefetch_related(named)
    rows = AliasMove.objects.filter(alias__adapter=adapter).exclude(alias__name__regex=_VERSION_TAG)
    return rows.select_related("alias", "actor").prefetch_related(
        Prefetch("before", revisions), Prefetch("revision", revisions)
    )


def revision_named(adapter: Adapter, name: str) -> Revision:
    """Return the revision of an adapter that ``v3``, an alias, ``latest`` or 40 hex digits name.

    Raises:
        NotFound: nothing has this name.
    """
    rows = Revision.objects.filter(adapter=adapter)
    if name == "latest":
        found = rows.filter(versions=adapter.latest_version_id or 0).first()
    elif number := _NUMBER.match(name):
        found = rows.filter(versions__number=int(number[1])).first()
    elif _COMMIT.match(name):
        found = rows.filter(commit=name).first()
    else:
        found = rows.filter(aliases__name=name).first()
    if found is None:
        raise nothing_named(adapter, name)
    return found


def nothing_named(adapter: Adapter, name: str) -> NotFound:
    """Return the refusal of a name that no version, alias or revision has."""
    text = _("“%(adapter)s” has no version, alias or revision “%(version)s”.")
    return version_selectors.absent(adapter, name, text)


def _absent(adapter: Adapter, name: str) -> NotFound:
    said = {"adapter": adapter.full_name, "name": name[:96]}
    text = _("“%(adapter)s” has no alias “%(name)s”.") % said
    return NotFound(text, adapter=said["adapter"], alias=said["name"])
