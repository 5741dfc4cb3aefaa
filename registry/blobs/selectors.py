"""Anatomies of blobs, and which files protect their blobs from the sweeper."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from registry.models import (
    WRITING_ROLES,
    Adapter,
    Blob,
    BlobHash,
    File,
    FileRole,
    HashKind,
    Version,
    VersionState,
)

#: Two files of weights that have one of these hashes in common have the same weights.
SAME_WEIGHTS = (HashKind.TENSORS, HashKind.WEIGHTS_F16, HashKind.WEIGHTS_BF16)


def document_of(blob: Blob | None) -> dict[str, Any]:
    """Return the anatomy document of a blob, {} without one of the current schema."""
    anatomy = getattr(blob, "anatomy", None)
    return anatomy.document if anatomy is not None and anatomy.is_current else {}


def energies_of(blob: Blob | None) -> dict[str, float]:
    """Return the energy of a blob's update by block of the base model, {} if it is not known."""
    anatomy = getattr(blob, "anatomy", None)
    return (anatomy.energies or {}) if anatomy is not None else {}


def keeping_files() -> QuerySet[File]:
    """Return the files that keep their blobs from being swept.

    Files of a withdrawn version do not. Files of a revision without a version (an edited card, a
    branch) do, unless a withdrawn version of the adapter has the same blob, or the whole adapter
    was withdrawn.
    """
    naming = Version.objects.filter(revision=OuterRef("revision"))
    is_gone = File.objects.filter(
        blob=OuterRef("blob"),
        revision__adapter=OuterRef("revision__adapter"),
        revision__versions__state=VersionState.WITHDRAWN,
    )
    is_live = Exists(naming.exclude(state=VersionState.WITHDRAWN))
    is_standing = Q(revision__adapter__withdrawn_reason="")
    return File.objects.filter(is_live | (~Exists(naming) & ~Exists(is_gone) & is_standing))


def kept_for_owner() -> QuerySet[File]:
    """Return the files that keep an upload's blob where its owner may publish, drafts included.

    For ``Exists`` in a query of uploads. Elsewhere (in adapters that were transferred, or in an
    organisation that the owner has left), the owner's own revisions count. Other users' files do
    not, because that would reveal that they exist.
    """
    is_author = Q(revision__author=OuterRef("owner"))
    is_owner = Q(revision__adapter__namespace__user=OuterRef("owner"))
    is_member = Q(
        revision__adapter__namespace__memberships__user=OuterRef("owner"),
        revision__adapter__namespace__memberships__role__in=WRITING_ROLES,
    )
    return keeping_files().filter(is_author | is_owner | is_member, blob=OuterRef("blob"))


def shown_files() -> QuerySet[File]:
    """Return the files that everybody who sees their adapter may download.

    Those are files of published or yanked versions, and of revisions without a version.
    """
    drafts = Version.objects.filter(revision=OuterRef("revision"), state=VersionState.DRAFT)
    return keeping_files().filter(~Exists(drafts))


def withheld_in(adapter: Adapter) -> set[int]:
    """Return ids of blobs that only withdrawn versions of the adapter have."""
    gone = File.objects.filter(
        revision__adapter=adapter, revision__versions__state=VersionState.WITHDRAWN
    )
    kept = keeping_files().filter(revision__adapter=adapter)
    return set(gone.exclude(blob__in=kept.values("blob")).values_list("blob", flat=True))


def taken_down_in(adapter: Adapter, blobs: Iterable[Blob]) -> dict[int, Version]:
    """Return those of the blobs whose weights an administrator took down in this adapter.

    A file with the same weights counts as the file itself, whatever its metadata, its tensor names
    and its number format are.

    Returns:
        Blob id → the version with which the weights were taken down.
    """
    withdrawn = adapter.versions.filter(state=VersionState.WITHDRAWN, is_takedown=True)
    taken = {
        pk: version
        for version in withdrawn
        for pk in version.files.filter(role=FileRole.WEIGHTS).values_list("blob", flat=True)
    }
    if not taken:
        return {}
    pks = {blob.pk for blob in blobs}
    hashes = BlobHash.objects.filter(kind__in=SAME_WEIGHTS, blob__in={*taken, *pks})
    rows = list(hashes.values_list("blob", "kind", "value"))
    known = {(kind, value): taken[pk] for pk, kind, value in rows if pk in taken}
    alike = {pk: known[kind, value] for pk, kind, value in rows if (kind, value) in known}
    return {pk: version for pk, version in (alike | taken).items() if pk in pks}
