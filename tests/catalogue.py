"""Steps that many tests begin with, taken through the services."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from registry.services import judging, uploads, versions

if TYPE_CHECKING:
    from registry.models import Adapter, Upload, User, Version
    from registry.services.versions import Details

__all__ = ["PASSWORD", "accept", "release"]

PASSWORD = "correct horse 7"


def accept(actor: User, data: bytes, path: str = "noir.safetensors") -> Upload:
    """Upload bytes and run all their checks; the verdict is the returned upload's state."""
    upload = uploads.create(actor=actor, path=path, size_bytes=len(data))
    upload = uploads.receive(actor=actor, upload=upload, stream=io.BytesIO(data))
    return judging.judge(upload=upload)


def release(
    adapter: Adapter,
    data: bytes,
    details: Details | None = None,
    *,
    path: str = "noir.safetensors",
) -> Version:
    """Publish bytes as a version of the owner's."""
    owner = adapter.namespace.user
    assert owner is not None
    draft = versions.create_draft(
        actor=owner, adapter=adapter, uploads=[accept(owner, data, path)], details=details
    )
    return versions.publish(actor=owner, version=draft)
