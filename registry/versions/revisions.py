"""Revisions by name, their files and their history.

``main`` usually means the tip of its branch. If the tip has the weights of a yanked or withdrawn
version, ``main`` means the latest version, with later commits that have the same weights (such as
its card).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _

from registry.adapters import selectors as adapter_selectors
from registry.blobs.selectors import keeping_files
from registry.errors import NotFound
from registry.models import Adapter, Alias, File, Revision, User, Version, VersionState
from registry.versions import selectors as version_selectors

Viewer = User | AnonymousUser | None

MAIN = "main"

#: Maximum number of revisions that are searched for the last change of a file; older changes count
#: as this old.
MAX_BACK = 1000

_NUMBER = re.compile(r"v([1-9][0-9]{0,8})\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A revision, its version if it has one, and the requested name."""

    adapter: Adapter
    revision: Revision
    version: Version | None
    requested: str


def at(user: Viewer, adapter: Adapter, name: str = MAIN) -> Snapshot:
    """Return the revision named by ``main``, ``v3``, an alias, ``latest`` or 40 hex digits.

    Raises:
        NotFound: nothing has this name, or it is a draft that the user is not allowed to see.
        Gone: the version or the whole adapter was withdrawn.
    """
    if adapter.withdrawn_reason:
        raise adapter_selectors.gone(adapter)
    if name == MAIN:
        revision, version = default_revisions([adapter])[adapter.pk]
    else:
        revision = revision_named(adapter, name)
        version = revision.versions.first()
    if version is not None:
        version.adapter, version.revision = adapter, revision
        if version.state == VersionState.DRAFT and not _may_write(user, adapter):
            raise nothing_named(adapter, name)
        if version.state == VersionState.WITHDRAWN:
            raise version_selectors.gone(version, name)
    return Snapshot(adapter, revision, version, name)


def revision_named(adapter: Adapter, name: str) -> Revision:
    """Return the revision named by ``v3``, an alias, ``latest`` or 40 hex digits.

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
    """Return the error for an unknown name of a version, alias or revision."""
    text = _("“%(adapter)s” has no version, alias or revision “%(version)s”.")
    return version_selectors.absent(adapter, name, text)


def _may_write(user: Viewer, adapter: Adapter) -> bool:
    is_known = user is not None and user.is_authenticated
    return is_known and adapter.is_writable_by(user)  # type: ignore[arg-type]  # signed in


def longest_alias(adapter: Adapter, text: str) -> str:
    """Return the longest alias that a path begins with: ``feat/rain`` for ``feat/rain/a.txt``.

    Returns "" if no alias with a slash matches.
    """
    parts = text.split("/")
    names = ["/".join(parts[:n]) for n in range(2, len(parts) + 1)]
    known = adapter.aliases.filter(name__in=names[:16], revision__isnull=False)
    return max(known.values_list("name", flat=True), key=len, default="")


def default_revisions(rows: Sequence[Adapter]) -> dict[int, tuple[Revision, Version | None]]:
    """Return adapter id → the revision and version that ``main`` refers to.

    Takes two queries, three more if a tip is not a version, and more if a tip is skipped.
    """
    tips = Alias.objects.filter(adapter__in=[row.pk for row in rows], name=MAIN)
    found: dict[int, tuple[Revision, Version | None]] = {}
    for tip in tips.select_related("revision").prefetch_related("revision__versions"):
        if tip.revision is not None:
            of_tip = tip.revision.versions.all()
            found[tip.adapter_id] = (tip.revision, next(iter(of_tip), None))
    skipped = _skipped(found)
    offered = [row.latest_version_id for row in rows if row.pk in skipped and row.latest_version_id]
    instead = Version.objects.filter(pk__in=offered).select_related("revision") if offered else []
    for version in instead:
        found[version.adapter_id] = _last_with_weights(version, found[version.adapter_id][0])
    return found


def _skipped(tips: Mapping[int, tuple[Revision, Version | None]]) -> set[int]:
    """Return ids of the adapters whose tip has the weights of a yanked or withdrawn version."""
    bare = [revision for revision, version in tips.values() if version is None]
    withdrawn = _with_withdrawn_files([revision.pk for revision in bare]) if bare else set()
    rows = Version.objects.exclude(state=VersionState.DRAFT)
    versions = version_selectors.versions_for(rows, bare) if bare else {}
    skipped = set()
    for adapter, (revision, version) in tips.items():
        shown = version or versions.get(revision.pk)
        if revision.pk in withdrawn or (
            shown is not None and shown.state in version_selectors.NOT_OFFERED
        ):
            skipped.add(adapter)
    return skipped


def _last_with_weights(version: Version, tip: Revision) -> tuple[Revision, Version | None]:
    """Return the last revision before a tip that has a version's weights."""
    rows = Version.objects.filter(pk=version.pk)
    back = list(islice(_chain(tip), MAX_BACK))
    chain = Revision.objects.in_bulk(back)
    versions = version_selectors.versions_for(rows, chain.values())
    last = next((chain[pk] for pk in back if pk in versions), version.revision)
    if last == version.revision or _with_withdrawn_files([last.pk]):
        return version.revision, version
    return last, None


def _with_withdrawn_files(revisions: Collection[int]) -> set[int]:
    """Return ids of the revisions without a version that have a file of a withdrawn version."""
    rows = File.objects.filter(revision__in=revisions)
    kept = keeping_files().filter(revision__in=revisions)
    return set(rows.exclude(pk__in=kept.values("pk")).values_list("revision", flat=True))


def files_of(revisions: Iterable[Revision]) -> dict[int, list[File]]:
    """Return revision id → files with blobs and anatomies, ordered by path."""
    held: dict[int, list[File]] = {revision.pk: [] for revision in revisions}
    rows = File.objects.filter(revision__in=held).select_related("blob", "blob__anatomy")
    for row in rows.order_by("path"):
        held[row.revision_id].append(row)
    return held


def file(snapshot: Snapshot, path: str) -> File | None:
    """Return a file of a revision; None if the path does not exist.

    Raises:
        Gone: its bytes were withdrawn with a version.
    """
    rows = snapshot.revision.files.select_related("blob").filter(path=path)
    found = rows.first()
    if found is not None and snapshot.version is None:
        _require_kept(snapshot, found)
    return found


def _require_kept(snapshot: Snapshot, row: File) -> None:
    if keeping_files().filter(pk=row.pk).exists():
        return
    taken = snapshot.adapter.versions.filter(
        state=VersionState.WITHDRAWN, revision__files__blob=row.blob_id
    )
    raise version_selectors.gone(taken.select_related("revision", "adapter")[0], snapshot.requested)


def counted_for(snapshot: Snapshot, row: File) -> int | None:
    """Return the id of the version for which a download of a file counts, or None.

    A revision without a version (an edited card) has the weights of an earlier version.
    """
    if snapshot.version is not None:
        return snapshot.version.pk
    rows = snapshot.adapter.versions.exclude(state=VersionState.DRAFT)
    rows = rows.filter(revision__files__blob=row.blob_id, revision__files__is_primary=True)
    return rows.order_by("-number").values_list("pk", flat=True).first()


def commits(revision: Revision, *, skip: int = 0, limit: int = 50) -> tuple[list[Revision], bool]:
    """Return a page of a revision's history, newest first, and whether there are older ones."""
    wanted = list(islice(_chain(revision), skip, skip + limit + 1))
    rows = Revision.objects.select_related("author").in_bulk(wanted[:limit])
    return [rows[pk] for pk in wanted[:limit]], len(wanted) > limit


def _chain(revision: Revision) -> Iterator[int]:
    """Yield the ids of a revision and its ancestors; one query."""
    rows = Revision.objects.filter(adapter=revision.adapter_id)
    parents = dict(rows.values_list("pk", "parent"))
    here: int | None = revision.pk
    while here is not None:
        yield here
        here = parents.get(here)


def last_changes(revision: Revision, paths: Iterable[str]) -> dict[str, Revision]:
    """Return path → the revision that last changed it; three queries.

    Searches at most ``MAX_BACK`` revisions.
    """
    names = set(paths)
    chain = list(islice(_chain(revision), MAX_BACK))
    held: dict[int, dict[str, int]] = {}
    rows = File.objects.filter(revision__adapter=revision.adapter_id, path__in=names)
    for pk, path, blob in rows.values_list("revision", "path", "blob"):
        held.setdefault(pk, {})[path] = blob
    found = {path: _since(chain, held, path) for path in names}
    known = Revision.objects.in_bulk(found.values())
    return {path: known[pk] for path, pk in found.items()}


def _since(chain: Sequence[int], held: dict[int, dict[str, int]], path: str) -> int:
    now, since = held.get(chain[0], {}).get(path), chain[0]
    for pk in chain:
        if held.get(pk, {}).get(path) != now:
            break
        since = pk
    return since
