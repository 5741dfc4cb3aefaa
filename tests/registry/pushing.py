"""Commits as clients of the Hub make them, taken through the services."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from registry.adapters import manifests
from registry.commits import services as commits
from registry.commits.services import Committed, Inline, Put
from registry.errors import UploadNotReady
from registry.jobs import worker_process
from registry.uploads import by_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.models import Adapter, Revision, User

WEIGHTS = "noir.safetensors"
README = b"---\nlicense: mit\n---\n# Noir\n"


def deposited(actor: User, data: bytes, path: str = WEIGHTS) -> Put:
    """Send bytes as LFS and Xet do, and return the change that names them."""
    sha256 = hashlib.sha256(data).hexdigest()
    upload = by_digest.begin(actor=actor, sha256=sha256, size_bytes=len(data))
    if upload is not None:
        by_digest.receive_body(actor=actor, upload=upload, stream=io.BytesIO(data))
    return Put(path, sha256, len(data))


def push(
    adapter: Adapter,
    *files: Put | Inline,
    deletes: Sequence[str] = (),
    ref: str = "main",
    parent: str | None = None,
    message: str = "Push",
) -> Committed:
    """Commit as the owner, with a worker that runs the checks once the first try has begun them."""
    owner = adapter.namespace.user
    assert owner is not None

    def tried(wait_s: float) -> Committed:
        return commits.commit(
            actor=owner,
            adapter=adapter,
            ref=ref,
            expected_parent=parent,
            puts=[file for file in files if isinstance(file, Put)],
            inlines=[file for file in files if isinstance(file, Inline)],
            deletes=deletes,
            message=message,
            wait_s=wait_s,
        )

    try:
        return tried(0.2)
    except UploadNotReady:
        worker_process.drain("checks")
        return tried(0.2)


def paths(revision: Revision) -> list[str]:
    return [file.path for file in revision.files.all()]


def branch(adapter: Adapter, name: str) -> None:
    revision, owner = manifests.main_of(adapter), adapter.namespace.user
    assert owner is not None
    manifests.move(actor=owner, revision=revision, name=name, is_branch=True)
