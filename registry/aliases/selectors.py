"""Aliases, their revisions and their history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet
from django.utils.translation import gettext as _

from registry.errors import NotFound
from registry.models import Adapter, Alias, AliasMove, Revision, Version, VersionState
from registry.versions import selectors as version_selectors
from registry.versions.revisions import MAIN, Snapshot


@dataclass(frozen=True, slots=True)
class Pointer:
    """An alias, its last move, and the version of its revision or of the same weights, if any."""

    alias: Alias
    version: Version | None
    last: AliasMove | None


def listing(adapter: Adapter) -> QuerySet[Alias]:
    """Return the existing aliases, by name, without the versions ``vN``."""
    rows = adapter.aliases.filter(revision__isnull=False).exclude(
        name__regex=version_selectors.VERSION_TAG
    )
    return rows.select_related("revision").order_by("name")


def pointers(aliases: Iterable[Alias]) -> list[Pointer]:
    """Return aliases of one adapter with their versions and last moves."""
    rows = list(aliases)
    named = _versions_of(rows)
    moves = AliasMove.objects.filter(alias__in=rows).select_related("actor").order_by("pk")
    last = {move.alias_id: move for move in moves}
    return [Pointer(row, named.get(row.revision_id or 0), last.get(row.pk)) for row in rows]


def _versions_of(aliases: Iterable[Alias]) -> dict[int, Version]:
    """Return revision id → its version, or one with the same weights; drafts are left out."""
    revisions = [alias.revision for alias in aliases if alias.revision is not None]
    return version_selectors.versions_for(
        Version.objects.exclude(state=VersionState.DRAFT), revisions
    )


def by_version(adapter: Adapter, known: Iterable[Version] = ()) -> dict[int, list[str]]:
    """Return version id → names of the aliases that point at it.

    Args:
        known: Versions of the adapter that were read before.
    """
    rows, named = list(listing(adapter)), dict[int, list[str]]()
    found = {one.revision_id: one for one in known if one.state != VersionState.DRAFT}
    found |= _versions_of([row for row in rows if row.revision_id not in found])
    for alias in rows:
        if version := found.get(alias.revision_id or 0):
            named.setdefault(version.pk, []).append(alias.name)
    return named


def get(adapter: Adapter, name: str) -> Alias:
    """Return an existing alias.

    Raises:
        NotFound: there is none.
    """
    found = listing(adapter).filter(name=name).first()
    if found is None:
        raise _absent(adapter, name)
    return found


def history(adapter: Adapter, name: str) -> QuerySet[AliasMove]:
    """Return the moves of an alias, which may have been removed, newest first.

    Raises:
        NotFound: the alias never existed.
    """
    alias = (
        adapter.aliases.exclude(name__regex=version_selectors.VERSION_TAG).filter(name=name).first()
    )
    if alias is None:
        raise _absent(adapter, name)
    return moves(adapter).filter(alias=alias)


def moves(adapter: Adapter) -> QuerySet[AliasMove]:
    """Return the moves of all aliases of an adapter, newest first."""
    named = Prefetch("versions", Version.objects.exclude(state=VersionState.DRAFT))
    revisions = Revision.objects.prefetch_related(named)
    rows = AliasMove.objects.filter(alias__adapter=adapter).exclude(
        alias__name__regex=version_selectors.VERSION_TAG
    )
    return rows.select_related("alias", "actor").prefetch_related(
        Prefetch("before", revisions), Prefetch("revision", revisions)
    )


def refs(snapshot: Snapshot) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return branches and tags, each as name and commit; ``vN`` are tags.

    Args:
        snapshot: The snapshot of ``main``.
    """
    adapter = snapshot.adapter
    branches = [(MAIN, snapshot.revision.commit)]
    numbered = adapter.versions.exclude(state=VersionState.DRAFT).select_related("revision")
    tags = [(version.name, version.revision.commit) for version in numbered.order_by("number")]
    for alias in listing(adapter).exclude(name=MAIN):
        if alias.revision is not None:
            (branches if alias.is_branch else tags).append((alias.name, alias.revision.commit))
    return branches, tags


def _absent(adapter: Adapter, name: str) -> NotFound:
    facts = {"adapter": adapter.full_name, "name": name[:96]}
    text = _("“%(adapter)s” has no alias “%(name)s”.") % facts
    return NotFound(text, adapter=facts["adapter"], alias=facts["name"])
