"""What is known of bytes, and which files keep theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Exists, OuterRef, Q

from registry.models import (
    Adapter,
    Blob,
    File,
    FileRole,
    Role,
    Version,
    VersionState,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet


def document_of(blob: Blob | None) -> dict[str, Any]:
    """Return the anatomy document of a blob, {} where there is none of the present shape."""
    anatomy = getattr(blob, "anatomy", None)
    return anatomy.document if anatomy is not None and anatomy.is_current else {}


def keeping_files() -> QuerySet[File]:
    """Return the files that keep their bytes.

    Those of a withdrawn version keep nothing. A revision that no version names (a card that was
    edited, a branch) keeps what it has, but for what a withdrawn version of its adapter had, and
    nothing where the whole adapter was withdrawn.
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
    """Return the files that keep an upload's bytes where its owner may publish, drafts included.

    For ``Exists`` in a query of uploads. What others have of the same bytes must not count: it
    would tell that they have them.
    """
    space = "revision__adapter__namespace"
    is_member = Q(
        **{
            f"{space}__memberships__user": OuterRef("owner"),
            f"{space}__memberships__role__in": [Role.WRITE, Role.ADMIN],
        }
    )
    is_own = Q(**{f"{space}__user": OuterRef("owner")})
    return keeping_files().filter(is_own | is_member, blob=OuterRef("blob"))


def shown_files() -> QuerySet[File]:
    """Return the files that everybody who sees their adapter may have.

    Those are what versions have that are out, and what commits have that are no version.
    """
    drafts = Version.objects.filter(revision=OuterRef("revision"), state=VersionState.DRAFT)
    return keeping_files().filter(~Exists(drafts))


def withheld_in(adapter: Adapter) -> set[int]:
    """Return ids of blobs that withdrawn versions had and nothing else in the adapter keeps."""
    gone = File.objects.filter(
        revision__adapter=adapter, revision__versions__state=VersionState.WITHDRAWN
    )
    kept = keeping_files().filter(revision__adapter=adapter)
    return set(gone.exclude(blob__in=kept.values("blob")).values_list("blob", flat=True))


def taken_down_in(adapter: Adapter) -> dict[int, Version]:
    """Return blob id → the version whose takedown by an operator keeps these weights out."""
    rows = adapter.versions.filter(state=VersionState.WITHDRAWN, is_takedown=True)
    return {
        pk: version
        for version in rows
        for pk in version.files.filter(role=FileRole.WEIGHTS).values_list("blob", flat=True)
    }
