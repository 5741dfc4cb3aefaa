"""Which bytes a user may already read, and what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.models import OUT_STATES, Adapter, Blob, UploadState

if TYPE_CHECKING:
    from registry.models import User

__all__ = ["document_of", "readable_by"]


def document_of(blob: Blob | None) -> dict[str, Any]:
    """Return the anatomy document of a blob, {} where there is none of the present shape."""
    anatomy = getattr(blob, "anatomy", None)
    return anatomy.document if anatomy is not None and anatomy.is_current else {}


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
        revisions__versions__state__in=OUT_STATES,
    )
    return blob if own.exists() or adapters.exists() else None
