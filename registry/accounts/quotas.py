"""Quotas: how many bytes a namespace may store.

``Namespace.used_bytes`` counts published bytes. Everything else is summed on request: the announced
length of open uploads; uploaded bytes that the namespace does not show (accepted, in drafts,
cancelled, withdrawn); pictures in galleries. Bytes of uploads that ended count for the grace
period, until the sweeper deletes them.

Only the user's own actions count. Whether other users have stored the same bytes must not show in
any figure, because that would reveal private files.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import events, hooks
from registry.accounts.permissions import require_operator, writable_by
from registry.blobs.selectors import keeping_files, shown_files
from registry.database.row_locks import locked
from registry.errors import QuotaExceeded
from registry.models import Blob, Namespace, UploadState, User

#: States of uploads that are still sent or checked.
OPEN_STATES = (UploadState.RECEIVING, UploadState.CHECKING)
#: Stored as the quota of a namespace without one, whatever the hub's default is.
NO_LIMIT = 2**62


def limit_of(namespace: Namespace) -> int | None:
    """Return the quota in bytes, or None for no limit."""
    if namespace.quota_bytes is not None:
        return namespace.quota_bytes if namespace.quota_bytes < NO_LIMIT else None
    return settings.LORARY.quota_bytes or None


def set_limit(*, namespace: Namespace, quota_bytes: int | None, actor: User | None = None) -> None:
    """Set the quota of a namespace.

    Args:
        actor: The operator; None on the command line.
        namespace: The namespace. It keeps everything it has, even above the quota.
        quota_bytes: The quota, ``NO_LIMIT`` or more, or None for the hub's default.

    Raises:
        NotFound, ScopeMissing: see ``permissions.require_operator``.
    """
    if actor is not None:
        require_operator(actor)
    if quota_bytes is not None:
        quota_bytes = min(quota_bytes, NO_LIMIT)
    with transaction.atomic():
        namespace.quota_bytes = quota_bytes
        namespace.save(update_fields=["quota_bytes"])
        events.record(
            actor=actor,
            verb="quota_set",
            about=namespace.user,
            subject="" if namespace.user else namespace.name,
            quota_bytes=quota_bytes,
        )


def used_by(namespace: Namespace) -> int:
    """Return the bytes that count against the quota."""
    return namespace.used_bytes + _unpublished_bytes(namespace)


def unpublished(user: User) -> QuerySet[Blob]:
    """Return blobs that a user uploaded and that none of their namespaces shows.

    Blobs of the user's revisions elsewhere (of adapters that were transferred, or of an
    organisation that the user has left) do not count, nor does an upload older than its blob: the
    bytes were deleted and uploaded again since.
    """
    grace = timezone.now() - timedelta(days=settings.LORARY.grace_days)
    verdict = grace - timedelta(days=settings.LORARY.upload_days)
    uploaded = user.uploads.filter(
        Q(state=UploadState.ACCEPTED)
        | Q(state=UploadState.EXPIRED, updated_at__gt=verdict)
        | Q(updated_at__gt=grace),
        blob__isnull=False,
        updated_at__gte=F("blob__created_at"),
    )
    mine = writable_by(user).values("pk")
    is_mine = Q(revision__adapter__namespace__in=mine)
    shown = shown_files().filter(is_mine, blob=OuterRef("pk"))
    elsewhere = keeping_files().filter(~is_mine, revision__author=user, blob=OuterRef("pk"))
    rows = Blob.objects.filter(pk__in=uploaded.values("blob"), is_stored=True)
    return rows.filter(~Exists(shown), ~Exists(elsewhere))


def _unpublished_bytes(namespace: Namespace) -> int:
    size = _bytes_of_other_apps(namespace)
    if namespace.user is None:
        return size
    coming = namespace.user.uploads.filter(state__in=OPEN_STATES)
    rows = coming, unpublished(namespace.user)
    return size + sum(row.aggregate(size=Sum("size_bytes"))["size"] or 0 for row in rows)


def _bytes_of_other_apps(namespace: Namespace) -> int:
    """Return the bytes that other apps store for a namespace, such as gallery pictures."""
    return sum(stored_bytes(namespace) for stored_bytes in hooks.stored_bytes)


def require_room_to_send(*, namespace: Namespace, size_bytes: int) -> None:
    """Refuse bytes that exceed the quota, counting everything; the namespace's row must be locked.

    Raises:
        QuotaExceeded: with quota, use and need in bytes.
    """
    if limit_of(namespace) is not None:
        waiting = _unpublished_bytes(namespace)
        require_room(namespace=namespace, size_bytes=size_bytes, unpublished_bytes=waiting)


def require_room_since(used_bytes: int, *, namespace: Namespace) -> None:
    """Refuse what was added since ``used_by`` if it exceeds the quota; the row must be locked.

    Raises:
        QuotaExceeded: the transaction must be rolled back.
    """
    if added := used_by(namespace) - used_bytes:
        elsewhere = used_bytes - namespace.used_bytes
        require_room(namespace=namespace, size_bytes=added, unpublished_bytes=elsewhere)


def require_room(*, namespace: Namespace, size_bytes: int, unpublished_bytes: int = 0) -> None:
    """Refuse bytes that exceed the quota.

    Args:
        namespace: The namespace, freshly read.
        size_bytes: Bytes to be added.
        unpublished_bytes: Bytes that count besides the published ones.

    Raises:
        QuotaExceeded: with quota, use and need in bytes.
    """
    limit, used = limit_of(namespace), namespace.used_bytes + unpublished_bytes
    if limit is not None and used + size_bytes > limit:
        text = _(
            "The quota of “%(name)s” does not allow %(size)d more bytes: it uses %(used)d of "
            "%(limit)d. Cancel open uploads that are no longer needed, or ask an administrator "
            "for a larger quota. The files of discarded drafts and withdrawn versions count "
            "until the hub deletes them, after a grace period."
        )
        facts = {"name": namespace.name, "size": size_bytes, "used": used, "limit": limit}
        raise QuotaExceeded(
            text % facts,
            quota_bytes=limit,
            used_bytes=used,
            unpublished_bytes=unpublished_bytes,
            size_bytes=size_bytes,
        )


def require_room_for(*, namespace: Namespace, blobs: Iterable[Blob]) -> int:
    """Return the bytes of the blobs that are new to the namespace; refuse what would not fit."""
    size = _not_held(namespace, blobs)
    if size:
        elsewhere = _bytes_of_other_apps(namespace)
        require_room(namespace=namespace, size_bytes=size, unpublished_bytes=elsewhere)
    return size


def charge(*, namespace: Namespace, blobs: Iterable[Blob]) -> None:
    """Add blobs that are new to the namespace to ``used_bytes``; call inside a transaction."""
    namespace = locked(Namespace.objects.all()).get(pk=namespace.pk)
    if size := require_room_for(namespace=namespace, blobs=blobs):
        Namespace.objects.filter(pk=namespace.pk).update(used_bytes=F("used_bytes") + size)


def refund(*, namespace: Namespace, blobs: Iterable[Blob]) -> None:
    """Subtract blobs that the namespace no longer holds; call inside a transaction."""
    namespace = locked(Namespace.objects.all()).get(pk=namespace.pk)
    size = min(_not_held(namespace, blobs), namespace.used_bytes)
    Namespace.objects.filter(pk=namespace.pk).update(used_bytes=F("used_bytes") - size)


def _not_held(namespace: Namespace, blobs: Iterable[Blob]) -> int:
    """Return the bytes of those blobs that only drafts of this namespace use.

    Published versions hold their blobs, and so do commits without a version (branches, samples).
    """
    sizes = {blob.pk: blob.size_bytes for blob in blobs}
    kept = shown_files().filter(revision__adapter__namespace=namespace, blob__in=sizes)
    held = set(kept.values_list("blob", flat=True))
    return sum(length for pk, length in sizes.items() if pk not in held)
