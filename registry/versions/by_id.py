"""Adapters, versions and files by numeric id, for clients of other hubs.

Ids can be enumerated, so other users' unlisted adapters cannot be found by id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from django.contrib.auth.models import AnonymousUser
from django.db.models import F, Q
from django.db.models.fields.json import KeyTransform
from django.utils.translation import gettext as _

from registry.adapters import selectors as adapter_selectors
from registry.adapters.listings_by_column import offered
from registry.errors import NotFound
from registry.models import (
    OUT_STATES,
    Access,
    Adapter,
    File,
    FileRole,
    HashKind,
    User,
    Version,
    VersionState,
    Visibility,
)
from registry.models.adapter import AdapterQuerySet
from registry.versions import selectors as version_selectors
from registry.versions.files import SERVED, Served, require_access, served_of

Viewer = User | AnonymousUser | None

#: Number of digests per query.
_BATCH = 1000


def adapters_for(user: Viewer) -> AdapterQuerySet:
    """Return the adapters that the user can find by id: public ones, and the user's own."""
    own = Adapter.objects.listed_for(user).among("pk")
    rows: AdapterQuerySet = Adapter.objects.visible_to(user)
    return rows.filter(~Q(visibility=Visibility.UNLISTED) | own)


def adapter(user: Viewer, number: int) -> Adapter:
    """Return an adapter that has a latest version."""
    rows = offered(user).filter(adapters_for(user).among("pk"))
    one = rows.select_related("namespace").filter(pk=number).first()
    if one is None:
        raise NotFound(_("There is no adapter with the number %(n)d.") % {"n": number})
    return one


def version(user: Viewer, number: int) -> Version:
    """Return a published or yanked version.

    Raises:
        NotFound: the user can see no version with this id, or it is a draft.
        Gone: it was withdrawn.
    """
    rows = Version.objects.exclude(state=VersionState.DRAFT)
    rows = rows.select_related("adapter__namespace", "revision")
    found = rows.filter(adapters_for(user).among("adapter"), pk=number).first()
    if found is None:
        raise NotFound(_("There is no version with the number %(n)d.") % {"n": number})
    if found.adapter.withdrawn_reason:
        raise adapter_selectors.gone(found.adapter)
    if found.state == VersionState.WITHDRAWN:
        raise version_selectors.gone(found)
    return found


def several(user: Viewer, numbers: Collection[int]) -> list[Version]:
    """Return the versions with these ids that ``version`` returns, ordered by id; one query."""
    rows = Version.objects.filter(
        adapters_for(user).among("adapter"),
        adapter__withdrawn_reason="",
        state__in=OUT_STATES,
        pk__in=numbers,
    )
    return list(rows.select_related("adapter__namespace", "revision").order_by("pk"))


def published(user: Viewer, numbers: Collection[int]) -> list[Version]:
    """Return the published versions with these ids that the user may see, ordered by id."""
    rows = Version.objects.filter(offered(user).among("adapter"), state=VersionState.PUBLISHED)
    rows = rows.select_related("adapter__namespace")
    return list(rows.filter(pk__in=numbers).order_by("pk"))


def versions_of(rows: Iterable[Adapter]) -> dict[int, list[Version]]:
    """Return adapter id → its published versions, newest first; one query."""
    known = {row.pk: row for row in rows}
    found: dict[int, list[Version]] = {pk: [] for pk in known}
    published = Version.objects.filter(adapter__in=known, state=VersionState.PUBLISHED)
    for one in published.order_by("-number"):
        one.adapter = known[one.adapter_id]
        found[one.adapter_id].append(one)
    return found


def manifests_of(rows: Collection[Version], roles: Sequence[str] = ()) -> dict[int, list[File]]:
    """Return revision id → files with their blobs, the primary one first; one query.

    Each file has ``dtypes``: number format → number of tensors, None if there is no anatomy.
    """
    files = File.objects.filter(revision__in={row.revision_id for row in rows})
    if roles:
        files = files.filter(role__in=roles)
    # `F` would raise an error inside Django that keeps all objects of the request alive.
    dtypes = KeyTransform("dtypes", "blob__anatomy__document")
    found: dict[int, list[File]] = {}
    listed = files.select_related("blob").annotate(dtypes=dtypes)
    for file in listed.order_by("-is_primary", "path"):
        found.setdefault(file.revision_id, []).append(file)
    return found


def served(user: Viewer, version_id: int, file_id: int) -> Served:
    """Return a file of a version for sending; one query for public files of open adapters."""
    rows = File.objects.filter(
        adapters_for(user).among("revision__versions__adapter"),
        pk=file_id,
        revision__versions=version_id,
        revision__versions__state__in=OUT_STATES,
    ).order_by()
    listed = rows.values_list(*SERVED)
    row = listed.filter(revision__versions__adapter__access=Access.OPEN).first()
    if row is None:
        require_access(user, version(user, version_id).adapter)
        row = listed.first()
    if row is None:
        raise NotFound(_("This version has no such file."))
    return served_of(version_id, row)


def with_digests(user: Viewer, digests: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return (sha256, version id, adapter id) for the weights of published versions.

    The weights can also be files that the hub made of them. If several versions have a digest, the
    one published first is used. Unknown digests are omitted; the others keep the order of
    ``digests``.
    """
    first: dict[str, tuple[int, int]] = {}
    wanted = list(dict.fromkeys(digests))
    for begin in range(0, len(wanted), _BATCH):
        batch = wanted[begin : begin + _BATCH]
        made = {
            "blob__derived_hashes__kind": HashKind.SHA256,
            "blob__derived_hashes__value__in": batch,
            "blob__derived_hashes__adapter": F("revision__adapter"),
        }
        for column, condition in (
            ("blob__sha256", {"blob__sha256__in": batch}),
            ("blob__derived_hashes__value", made),
        ):
            rows = File.objects.filter(
                offered(user).among("revision__versions__adapter"),
                role=FileRole.WEIGHTS,
                revision__versions__state=VersionState.PUBLISHED,
                **condition,
            ).order_by("revision__versions__published_at", "revision__versions__pk")
            for sha256, number, owner in rows.values_list(
                column, "revision__versions", "revision__versions__adapter"
            ):
                first.setdefault(sha256, (number, owner))
    return [(sha256, *first[sha256]) for sha256 in wanted if sha256 in first]
