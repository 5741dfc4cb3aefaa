"""A user's own uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import F, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from registry.errors import NotFound
from registry.models import Upload, UploadState, Version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from registry.models import User

__all__ = ["begun", "get", "holding", "listing", "many", "overview"]


def listing(user: User) -> QuerySet[Upload]:
    """Return the user's uploads, newest first."""
    rows = Upload.objects.filter(owner=user).select_related("blob", "blob__anatomy")
    return rows.prefetch_related("parts", "findings")


def overview(user: User) -> QuerySet[Upload]:
    """Return the user's uploads, newest first; ``arrived`` counts the bytes of their parts.

    The parts themselves, of which there may be thousands, stay where they are.
    """
    rows = Upload.objects.filter(owner=user).select_related("blob").order_by("-pk")
    arrived = Coalesce(Sum("parts__size_bytes"), 0)
    return rows.annotate(arrived=arrived).prefetch_related("findings")


def begun(user: User, path: str, size_bytes: int) -> QuerySet[Upload]:
    """Return uploads of such a file that may be gone on with, the newest first."""
    rows = Upload.objects.filter(owner=user, path=path, size_bytes=size_bytes).order_by("-pk")
    is_open = rows.filter(state__in=[UploadState.RECEIVING, UploadState.CHECKING])
    is_kept = rows.filter(state=UploadState.ACCEPTED, blob__is_stored=True)
    return is_open | is_kept


def holding(user: User, uploads: Iterable[Upload]) -> dict[int, Version]:
    """Return blob id → the first version of the user's that holds it."""
    blobs = {upload.blob_id for upload in uploads if upload.blob_id is not None}
    rows = Version.objects.filter(author=user, revision__files__blob__in=blobs)
    rows = rows.select_related("adapter", "adapter__namespace").order_by("-pk")
    return {row.held: row for row in rows.annotate(held=F("revision__files__blob"))}


def get(user: User, public_id: str | UUID) -> Upload:
    """Return one of the user's uploads.

    Raises:
        NotFound: no such upload, or another's.
    """
    return many(user, [public_id])[0]


def many(user: User, public_ids: list[str | UUID] | list[str]) -> list[Upload]:
    """Return uploads of the user in the order of their ids.

    Raises:
        NotFound: when one of them does not exist or is another's.
    """
    try:
        ids = [UUID(str(value)) for value in public_ids]
    except ValueError as error:
        raise _absent() from error
    found = {upload.public_id: upload for upload in listing(user).filter(public_id__in=ids)}
    if missing := [value for value in ids if value not in found]:
        raise _absent(missing=[str(value) for value in missing])
    return [found[value] for value in ids]


def _absent(**facts: list[str]) -> NotFound:
    return NotFound(_("You have no such upload."), **facts)
