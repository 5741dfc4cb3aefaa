"""Room: how many bytes a namespace may publish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import F
from django.utils.translation import gettext as _

from registry.errors import QuotaExceeded
from registry.models import Namespace
from registry.selectors.blobs import shown_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import Blob

__all__ = ["charge", "limit_of", "refund", "require_room"]


def limit_of(namespace: Namespace) -> int | None:
    """Return the quota in bytes, or None for none."""
    if namespace.quota_bytes is not None:
        return namespace.quota_bytes
    return settings.LORARY.quota_bytes or None


def require_room(*, namespace: Namespace, size_bytes: int) -> None:
    """Refuse what would not fit.

    Raises:
        QuotaExceeded: with quota, use and need in bytes.
    """
    limit = limit_of(namespace)
    if limit is not None and namespace.used_bytes + size_bytes > limit:
        raise QuotaExceeded(
            _("“%(name)s” has no room for %(size)d more bytes.")
            % {"name": namespace.name, "size": size_bytes},
            quota_bytes=limit,
            used_bytes=namespace.used_bytes,
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
