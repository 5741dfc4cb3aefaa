"""Adapters, versions and files by the numbers that other hubs' clients know things by.

Numbers can be counted through, so they open nothing that only those who know its address may see:
others' unlisted adapters have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import F, Q
from django.utils.translation import gettext as _

from registry.adapters import selectors as adapter_selectors
from registry.adapters.listings import offered
from registry.errors import NotFound
from registry.models import (
    OUT_STATES,
    Access,
    Adapter,
    File,
    FileRole,
    Version,
    VersionState,
    Visibility,
)
from registry.versions import selectors as version_selectors
from registry.versions.files import SENT, Served, require_access, served_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.models import User

    Viewer = User | AnonymousUser | None

#: Digests that one statement looks for.
_AT_ONCE = 1000


def adapters_for(user: Viewer) -> QuerySet[Adapter]:
    """Return the adapters that have a number for the user: public ones, and its own."""
    own = Adapter.objects.listed_for(user).values("pk")
    rows = Adapter.objects.visible_to(user)
    return rows.filter(~Q(visibility=Visibility.UNLISTED) | Q(pk__in=own))


def adapter(user: Viewer, number: int) -> Adapter:
    """Return an adapter that offers a version.

    Raises:
        NotFound: there is none of this number that the user may see.
    """
    rows = offered(user).filter(pk__in=adapters_for(user).values("pk"))
    found = rows.select_related("namespace", "latest_version").prefetch_related("tags")
    one = found.filter(pk=number).first()
    if one is None:
        raise NotFound(_("There is no adapter of the number %(n)d.") % {"n": number})
    return one


def version(user: Viewer, number: int) -> Version:
    """Return a version that is out, offered or not.

    Raises:
        NotFound: there is none of this number that the user may see, or a draft.
        Gone: it was withdrawn.
    """
    rows = Version.objects.exclude(state=VersionState.DRAFT)
    rows = rows.select_related("adapter__namespace", "adapter__latest_version", "revision")
    found = rows.filter(pk=number, adapter__in=adapters_for(user)).first()
    if found is None:
        raise NotFound(_("There is no version of the number %(n)d.") % {"n": number})
    if found.adapter.withdrawn_reason:
        raise adapter_selectors.gone(found.adapter)
    if found.state == VersionState.WITHDRAWN:
        raise version_selectors.gone(found)
    return found


def several(user: Viewer, numbers: Collection[int]) -> list[Version]:
    """Return offered versions of some numbers, by number; those that the user may not see not."""
    rows = Version.objects.filter(state=VersionState.PUBLISHED, adapter__in=offered(user))
    rows = rows.select_related("adapter__namespace", "adapter__latest_version")
    return list(rows.filter(pk__in=numbers).order_by("pk"))


def versions_of(rows: Iterable[Adapter]) -> dict[int, list[Version]]:
    """Return adapter id → the versions that it offers, the newest first; one query."""
    known = {row.pk: row for row in rows}
    found: dict[int, list[Version]] = {pk: [] for pk in known}
    published = Version.objects.filter(adapter__in=known, state=VersionState.PUBLISHED)
    for one in published.order_by("-number"):
        one.adapter = known[one.adapter_id]
        found[one.adapter_id].append(one)
    return found


def manifests_of(rows: Collection[Version], roles: Sequence[str] = ()) -> dict[int, list[File]]:
    """Return revision id → files with their blobs, the primary one first; one query.

    Each file has ``dtypes``: number format → number of tensors, None where nothing was read.
    """
    files = File.objects.filter(revision__in={row.revision_id for row in rows})
    if roles:
        files = files.filter(role__in=roles)
    dtypes = F("blob__anatomy__document__dtypes")
    found: dict[int, list[File]] = {}
    told = files.select_related("blob").annotate(dtypes=dtypes)
    for file in told.order_by("-is_primary", "path"):
        found.setdefault(file.revision_id, []).append(file)
    return found


def served(user: Viewer, version_id: int, file_id: int) -> Served:
    """Return a file of a version for sending; one query for what is out and open.

    Raises:
        NotFound, Gone: see ``version``; or the version has no such file.
        Forbidden: see ``files.require_access``.
    """
    rows = File.objects.filter(
        pk=file_id,
        revision__versions=version_id,
        revision__versions__state__in=OUT_STATES,
        revision__versions__adapter__in=adapters_for(user),
    ).order_by()
    told = rows.values_list(*SENT)
    row = told.filter(revision__versions__adapter__access=Access.OPEN).first()
    if row is None:
        require_access(user, version(user, version_id).adapter)
        row = told.first()
    if row is None:
        raise NotFound(_("This version has no such file."))
    return served_of(version_id, row)


def with_digests(user: Viewer, digests: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return (sha256, version id, adapter id) for the weights of offered versions.

    A digest that several versions hold is that of the one which was published first. Those that
    none holds are left out; the others come in the order in which they were asked for.
    """
    first: dict[str, tuple[int, int]] = {}
    wanted = list(dict.fromkeys(digests))
    for begin in range(0, len(wanted), _AT_ONCE):
        rows = File.objects.filter(
            blob__sha256__in=wanted[begin : begin + _AT_ONCE],
            role=FileRole.WEIGHTS,
            revision__versions__state=VersionState.PUBLISHED,
            revision__versions__adapter__in=offered(user),
        )
        told = rows.order_by("revision__versions__published_at", "revision__versions__pk")
        for sha256, number, owner in told.values_list(
            "blob__sha256", "revision__versions", "revision__versions__adapter"
        ):
            first.setdefault(sha256, (number, owner))
    return [(sha256, *first[sha256]) for sha256 in wanted if sha256 in first]
