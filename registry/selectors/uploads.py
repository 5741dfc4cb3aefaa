"""A user's own uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.utils.translation import gettext as _

from registry.errors import NotFound
from registry.models import Upload

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from registry.models import User

__all__ = ["get", "listing", "many"]


def listing(user: User) -> QuerySet[Upload]:
    """Return the user's uploads, newest first."""
    rows = Upload.objects.filter(owner=user).select_related("blob", "blob__anatomy")
    return rows.prefetch_related("parts", "findings")


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
