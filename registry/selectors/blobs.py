"""Which bytes a user may already read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.models import Adapter, Blob, UploadState, VersionState

if TYPE_CHECKING:
    from registry.models import User

__all__ = ["readable_by"]


def readable_by(user: User, sha256: str) -> Blob | None:
    """Return the stored blob of a digest if the user could download it anyway.

    Knowing a digest proves nothing: bytes of others' private adapters must be sent to be used.
    """
    blob = Blob.objects.filter(sha256=sha256, is_stored=True).select_related("anatomy").first()
    if blob is None:
        return None
    own = blob.uploads.filter(owner=user, state=UploadState.ACCEPTED)
    adapters = Adapter.objects.visible_to(user).filter(
        revisions__files__blob=blob,
        revisions__versions__state__in=[VersionState.PUBLISHED, VersionState.YANKED],
    )
    return blob if own.exists() or adapters.exists() else None
