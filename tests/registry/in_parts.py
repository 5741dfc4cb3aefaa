"""A file of three parts, and how it is sent."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from registry import storage
from registry.jobs import worker_process
from registry.models import Upload, UploadState
from registry.uploads import parts
from registry.uploads import services as uploads
from tests.builders.adapters import kohya
from tests.registry.files import SD1

if TYPE_CHECKING:
    from registry.models import User

MIB = 2**20
#: Three parts of 5 MiB, the last one shorter.
LARGE = kohya(SD1, rank=240, dtype="F32")
DIGEST = hashlib.sha256(LARGE).hexdigest()


def begin(actor: User, sha256: str | None = None) -> Upload:
    upload = uploads.create(
        actor=actor, path="noir.safetensors", size_bytes=len(LARGE), sha256=sha256
    )
    assert upload.part_count == 3
    return upload


def body(upload: Upload, number: int) -> bytes:
    part = parts.part_of(upload, number)
    return LARGE[part.offset : part.offset + part.size]


def send(upload: Upload, *numbers: int) -> None:
    for number in numbers:
        stream = io.BytesIO(body(upload, number))
        parts.receive_part(actor=upload.owner, upload=upload, number=number, stream=stream)


def names() -> list[str]:
    return [entry.name for entry in storage.store().names()]


def expect_accepted(upload: Upload) -> None:
    worker_process.drain("checks")
    upload.refresh_from_db()
    assert (upload.state, upload.sha256) == (UploadState.ACCEPTED, DIGEST)
    assert names() == [DIGEST]
    with storage.store().open(DIGEST) as handle:
        assert hashlib.sha256(handle.read()).hexdigest() == DIGEST
