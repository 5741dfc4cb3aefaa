"""Uploads that are open while the store of a hub is exchanged, or its rows are put back.

Call these only while no hub runs. Bytes that cannot be brought along are asked for again: the
upload stays, and says that its parts are missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from registry import queue, storage
from registry.models import Upload, UploadState
from registry.services import moving, uploads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from django.db.models import QuerySet

    from registry.storage import BlobStore

__all__ = ["Carried", "carry", "settle"]


@dataclass(slots=True)
class Carried:
    """What became of open uploads.

    Attributes:
        whole: Uploads that have all they had, or had nothing yet.
        asked_again: Ids of uploads whose bytes, or some of them, have to be sent again.
    """

    whole: int = 0
    asked_again: list[str] = field(default_factory=list)

    def add(self, upload: Upload, *, is_whole: bool) -> None:
        """Count one."""
        if is_whole:
            self.whole += 1
        else:
            self.asked_again.append(str(upload.public_id))


def carry(*, source: BlobStore, target: BlobStore) -> Carried:
    """Bring the bytes of open uploads to another store; repeatable.

    Raises:
        LoraryError, OSError: a store is away or full; nothing is asked for again because of that.
    """
    told = Carried()
    for upload in _open():
        if upload.state == UploadState.CHECKING:
            is_whole = _carry_file(upload, source, target)
            if not is_whole:
                _ask_again(upload)
        else:
            is_whole = _carry_parts(upload, source, target)
        told.add(upload, is_whole=is_whole)
    return told


def settle(*, store: BlobStore) -> Carried:
    """Have open uploads say what is true after rows were put back: received parts are gone."""
    told = Carried()
    for upload in _open():
        if upload.state == UploadState.CHECKING:
            is_whole = any(_has(store, name) for name in (upload.storage_key, upload.sha256))
        else:
            is_whole = not upload.parts.exists()
        if not is_whole:
            _ask_again(upload)
        told.add(upload, is_whole=is_whole)
    return told


def _open() -> QuerySet[Upload]:
    states = [UploadState.RECEIVING, UploadState.CHECKING]
    return Upload.objects.filter(state__in=states).order_by("pk")


def _has(store: BlobStore, name: str) -> bool:
    try:
        store.open(name).close()
    except FileNotFoundError:
        return False
    return True


def _carry_file(upload: Upload, source: BlobStore, target: BlobStore) -> bool:
    """Bring a file that waits for its checks; whether it is whole there.

    A worker may have died between its promotion and the row that names it.
    """
    target.delete(upload.storage_key)
    try:
        handle = source.open(upload.storage_key)
    except FileNotFoundError:
        named = (upload.sha256, upload.size_bytes)
        return moving.bring(named, source=source, target=target) == "done"
    with handle:
        sent = storage.Measured(storage.chunks_of(handle))
        target.write(upload.storage_key, sent)
    with target.open(upload.storage_key) as written:
        arrived = storage.Measured(storage.chunks_of(written))
        for _chunk in arrived:
            pass
    return sent.written == arrived.written == storage.Written(upload.size_bytes, upload.sha256)


def _carry_parts(upload: Upload, source: BlobStore, target: BlobStore) -> bool:
    """Bring the parts that arrived; whether all of them could be.

    Parts in a bucket cannot be read before they are joined.
    """
    target.delete(upload.storage_key)
    rows = list(upload.parts.all())
    if not rows:
        return True
    try:
        handle = source.open(upload.storage_key)
    except FileNotFoundError:
        _ask_again(upload)
        return False
    with handle:
        for row in rows:
            part = uploads.part_of(upload, row.number)
            handle.seek(part.offset)
            sent = storage.Measured(_exactly(handle, part.size))
            target.write(upload.storage_key, sent, part=part)
            if sent.written != storage.Written(row.size_bytes, row.sha256):
                row.delete()
    return upload.parts.count() == len(rows)


def _exactly(handle: BinaryIO, size: int) -> Iterator[bytes]:
    while size and (chunk := handle.read(min(storage.CHUNK, size))):
        size -= len(chunk)
        yield chunk


def _ask_again(upload: Upload) -> None:
    """Have the upload wait for all of its bytes."""
    with transaction.atomic():
        upload.parts.all().delete()
        Upload.objects.filter(pk=upload.pk).update(
            state=UploadState.RECEIVING, sha256="", updated_at=timezone.now()
        )
        queue.cancel(f"{uploads.CHECK_TASK}:{upload.pk}")
