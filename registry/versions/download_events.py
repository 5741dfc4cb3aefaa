"""Records downloads of files that not everybody may read.

The event is written before the bytes are sent: a download that cannot be recorded is refused.
Public files are only counted (``download_counts``), without a write during the request.
"""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser

from registry import events
from registry.models import Adapter, User, Version


def record(
    *, actor: User | AnonymousUser | None, adapter: Adapter, subject: str, path: str, sha256: str
) -> None:
    """Record that a file of an adapter is sent.

    Args:
        subject: The version, or the first digits of a revision without one.
    """
    events.record(
        actor=actor,
        verb="file_downloaded",
        about=adapter,
        subject=subject,
        path=path,
        sha256=sha256,
    )


def record_of_version(
    *, actor: User | AnonymousUser | None, version_id: int, path: str, sha256: str
) -> None:
    """Record that a file of a version is sent, whose rows were not read."""
    rows = Version.objects.select_related("adapter").only("number", "adapter__name")
    version = rows.get(pk=version_id)
    record(actor=actor, adapter=version.adapter, subject=version.name, path=path, sha256=sha256)
