"""The identity of this hub, and which digests it knows."""

from __future__ import annotations

from collections.abc import Iterable

from registry.models import Blob, Hub


def own() -> str:
    """Return the identity of this hub, 32 hex digits; created by the first call."""
    hub, _is_new = Hub.objects.get_or_create(pk=Hub.ONLY)
    return hub.identity.hex


def unknown(digests: Iterable[str]) -> int:
    """Return how many of these digests this hub never had; their rows are never deleted."""
    named = {bytes.fromhex(sha256) for sha256 in digests}
    if named:
        for sha256 in Blob.objects.values_list("sha256", flat=True).iterator():
            named.discard(bytes.fromhex(sha256))
    return len(named)
