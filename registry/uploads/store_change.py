"""Moves open uploads when the hub changes its store, and reopens them after a restore.

Call these only while no hub runs. If bytes cannot be moved, the upload stays open and its parts
count as missing, so that the client sends them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from registry import storage
from registry.blobs import migrate_store
from registry.jobs import queue
from registry.models import Upload, UploadPart, UploadState
from registry.storage import BlobStore
from registry.uploads import services as uploads


@dataclass(slots=True)
class MovedUploads:
    """The result for open uploads.

    Attributes:
        whole: Number of uploads that lost nothing.
        asked_again: Ids of uploads whose bytes must partly or completely be sent again.
        cancelled: Ids of uploads with parts that are too short for the other store.
    """

    whole: int = 0
    asked_again: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def add(self, upload: Upload, *, is_whole: bool) -> None:
        """Count an upload."""
        if is_whole:
            self.whole += 1
        else:
            self.asked_again.append(str(upload.public_id))


def move_uploads(
    *, source: BlobStore, target: BlobStore, least_part_bytes: int = 0
) -> MovedUploads:
    """Move the bytes of open uploads to another store; may be repeated.

    Args:
        least_part_bytes: Minimum length of a part that the target can join.

    Raises:
        LoraryError, OSError: a store is unreachable or full; no upload is reset then.
    """
    moved = MovedUploads()
    for upload in _open():
        if upload.state == UploadState.CHECKING:
            is_whole = _move_file(upload, source, target)
            if not is_whole:
                _reset(upload, target)
        elif upload.part_count > 1 and upload.part_bytes < least_part_bytes:
            Upload.objects.filter(pk=upload.pk).update(state=UploadState.CANCELLED)
            moved.cancelled.append(str(upload.public_id))
            continue
        else:
            is_whole = _move_parts(upload, source, target)
        moved.add(upload, is_whole=is_whole)
    return moved


def reopen_without_bytes(*, store: BlobStore) -> MovedUploads:
    """Reopen uploads whose bytes are missing after the database was restored."""
    moved = MovedUploads()
    for upload in _open():
        if upload.state == UploadState.CHECKING:
            names = filter(None, (upload.storage_key, upload.sha256))
            is_whole = any(_has(store, name) for name in names)
        else:
            is_whole = not upload.parts.exists()
        if not is_whole:
            _reset(upload, store)
        moved.add(upload, is_whole=is_whole)
    return moved


def _open() -> QuerySet[Upload]:
    states = [UploadState.RECEIVING, UploadState.CHECKING]
    return Upload.objects.filter(state__in=states).order_by("pk")


def _has(store: BlobStore, name: str) -> bool:
    try:
        store.open(name).close()
    except FileNotFoundError:
        return False
    return True


def _move_file(upload: Upload, source: BlobStore, target: BlobStore) -> bool:
    """Copy a file that waits for its checks; return whether the copy is correct.

    The file may already be promoted if a worker died before it wrote the row.
    """
    target.delete(upload.storage_key)
    try:
        handle = source.open(upload.storage_key)
    except FileNotFoundError:
        named = (upload.sha256, upload.size_bytes)
        return (
            bool(upload.sha256)
            and migrate_store.copy_one(named, source=source, target=target) == "done"
        )
    with handle:
        sent = storage.Measured(storage.chunks_of(handle))
        target.write(upload.storage_key, sent)
    with target.open(upload.storage_key) as written:
        read_back = storage.Measured(storage.chunks_of(written))
        for _chunk in read_back:
            pass
    # A file that was sent in parts has no digest yet.
    expected = storage.Written(upload.size_bytes, upload.sha256 or sent.written.sha256)
    return sent.written == read_back.written == expected


def _move_parts(upload: Upload, source: BlobStore, target: BlobStore) -> bool:
    """Copy the stored parts; return whether all of them were copied.

    Parts in a bucket cannot be read before they are joined.
    """
    _reset_key(upload, target)
    rows = list(upload.parts.all())
    if not rows:
        return True
    try:
        handle = source.open(upload.storage_key)
    except FileNotFoundError:
        _reset(upload, target)
        return False
    with handle:
        for row in rows:
            _move_part(row, _part_of(upload, row.number), handle, target)
    return upload.parts.count() == len(rows)


def _move_part(row: UploadPart, part: storage.Part, handle: BinaryIO, target: BlobStore) -> None:
    """Copy one part; if its bytes have changed, it counts as missing."""
    handle.seek(part.offset)
    sent = storage.Measured(_exactly(handle, part.size))
    row.tag = target.write(row.upload.storage_key, sent, part=part)
    expected = storage.Written(
        part.size, row.sha256 or sent.written.sha256
    )  # "": sent to the bucket
    if sent.written == expected:
        row.save(update_fields=["tag"])
    else:
        row.delete()


def _part_of(upload: Upload, number: int) -> storage.Part:
    offset = (number - 1) * upload.part_bytes
    return storage.Part(number, offset, min(upload.part_bytes, upload.size_bytes - offset))


def _exactly(handle: BinaryIO, size: int) -> Iterator[bytes]:
    while size and (chunk := handle.read(min(storage.CHUNK, size))):
        size -= len(chunk)
        yield chunk


def _reset_key(upload: Upload, store: BlobStore) -> None:
    """Make the key of an upload accept parts again; a bucket may have joined them."""
    store.delete(upload.storage_key)
    store.link(upload.storage_key, _part_of(upload, 1))


def _reset(upload: Upload, store: BlobStore) -> None:
    """Make an upload wait for all of its bytes again."""
    _reset_key(upload, store)
    with transaction.atomic():
        upload.parts.all().delete()
        Upload.objects.filter(pk=upload.pk).update(
            state=UploadState.RECEIVING, sha256="", anatomy=None, updated_at=timezone.now()
        )
        queue.cancel(f"{uploads.CHECK_TASK}:{upload.pk}")
