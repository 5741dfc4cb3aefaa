"""Room: how many bytes a namespace may have here.

What a namespace has published is written down in its row. What its user sent besides is summed up
when it is asked for: uploads that are open, by their announced length, and stored bytes that nobody
shows: accepted, in drafts, cancelled, withdrawn. Those count until the sweeper took them, for until
then they fill the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Sum
from django.utils.translation import gettext as _

from registry.errors import QuotaExceeded
from registry.models import Blob, Namespace, UploadState
from registry.selectors.blobs import shown_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from registry.models import User

__all__ = [
    "OPEN_STATES", "charge", "limit_of", "refund", "require_room", "require_room_to_send",
    "unpublished", "used_by",
]  # fmt: skip

#: States of uploads whose bytes are still coming, or have no digest yet.
OPEN_STATES = (UploadState.RECEIVING, UploadState.CHECKING)


def limit_of(namespace: Namespace) -> int | None:
    """Return the quota in bytes, or None for none."""
    if namespace.quota_bytes is not None:
        return namespace.quota_bytes
    return settings.LORARY.quota_bytes or None


def used_by(namespace: Namespace) -> int:
    """Return the bytes that count against the quota."""
    return namespace.used_bytes + _unpublished_bytes(namespace)


def unpublished(user: User) -> QuerySet[Blob]:
    """Return the stored bytes that uploads of a user brought and that nobody shows.

    An upload from before the bytes went and came again does not count: others brought them since.
    """
    brought = user.uploads.filter(blob__isnull=False, updated_at__gte=F("blob__created_at"))
    shown = shown_files().filter(blob=OuterRef("pk"))
    return Blob.objects.filter(~Exists(shown), pk__in=brought.values("blob"), is_stored=True)


def _unpublished_bytes(namespace: Namespace) -> int:
    if namespace.user is None:
        return 0
    coming = namespace.user.uploads.filter(state__in=OPEN_STATES)
    rows = coming, unpublished(namespace.user)
    return sum(row.aggregate(size=Sum("size_bytes"))["size"] or 0 for row in rows)


def require_room_to_send(*, namespace: Namespace, size_bytes: int) -> None:
    """Refuse what would not fit beside all that counts; call with the namespace's row locked.

    Raises:
        QuotaExceeded: with quota, use and need in bytes.
    """
    if limit_of(namespace) is not None:
        waiting = _unpublished_bytes(namespace)
        require_room(namespace=namespace, size_bytes=size_bytes, unpublished_bytes=waiting)


def require_room(*, namespace: Namespace, size_bytes: int, unpublished_bytes: int = 0) -> None:
    """Refuse what would not fit.

    Args:
        namespace: As its row is now.
        size_bytes: What comes.
        unpublished_bytes: What takes room besides what is published.

    Raises:
        QuotaExceeded: with quota, use and need in bytes.
    """
    limit, used = limit_of(namespace), namespace.used_bytes + unpublished_bytes
    if limit is not None and used + size_bytes > limit:
        raise QuotaExceeded(
            _("“%(name)s” has no room for %(size)d more bytes.")
            % {"name": namespace.name, "size": size_bytes},
            quota_bytes=limit,
            used_bytes=used,
            unpublished_bytes=unpublished_bytes,
            size_bytes=size_bytes,
        )


def charge(*, namespace: Namespace, blobs: Iterable[Blob]) -> None:
    """Add bytes that this namespace did not hold before; call inside the transaction."""
    namespace = Namespace.objects.select_for_update().get(pk=namespace.pk)
    size = _not_held(namespace, blobs)
    if size:
        require_room(namespace=namespace, size_bytes=size)
        Namespace.objects.filter(pk=namespace.pk).update(used_bytes=F("used_bytes") + size)


def refund(*, namespace: Namespace, blobs: Iterable[Blob]) -> None:
    """Take off bytes that this namespace holds no longer; call inside the transaction."""
    namespace = Namespace.objects.select_for_update().get(pk=namespace.pk)
    size = min(_not_held(namespace, blobs), namespace.used_bytes)
    Namespace.objects.filter(pk=namespace.pk).update(used_bytes=F("used_bytes") - size)


def _not_held(namespace: Namespace, blobs: Iterable[Blob]) -> int:
    """Return the bytes of those blobs that nothing in this namespace keeps but drafts.

    Versions that are out keep theirs, and so do commits that are no version: branches, samples.
    """
    asked = {blob.pk: blob.size_bytes for blob in blobs}
    kept = shown_files().filter(revision__adapter__namespace=namespace, blob__in=asked)
    held = set(kept.values_list("blob", flat=True))
    return sum(length for pk, length in asked.items() if pk not in held)
