"""Uploads that are open while the store of a hub is exchanged, or its rows are put back.

Call these only while no hub runs. Bytes that cannot be brought along are asked for again: the
upload stays, and says that its parts are missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from registry import storage
from registry.blobs import migrate_store
from registry.jobs import queue
from registry.models import Upload, UploadPart, UploadState
from registry.uploads import services as uploads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from django.db.models import QuerySet

    from registry.storage import BlobStore


@dataclass(slots=True)
class Carried:
    """What became of open uploads.

    Attributes:
        whole: Uploads that have all they had, or had nothing yet.
        asked_again: Ids of uploads whose bytes, or some of them, have to be sent again.
        cancelled: Ids of uploads that were begun in parts which the other store does not take.
    """

    whole: int = 0
    asked_again: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def add(self, upload: Upload, *, is_whole: bool) -> None:
        """Count one."""
        if is_whole:
            self.whole += 1
        else:
            self.asked_again.append(str(upload.public_id))


def carry(*, source: BlobStore, target: BlobStore, least_part_bytes: int = 0) -> Carried:
    """Bring the bytes of open uploads to another store; repeatable.

    Args:
        source: Where they are.
        target: Where they shall be.
        least_part_bytes: Shortest part that the target joins with others.

    Raises:
        LoraryError, OSError: a store is away or full; nothing is asked for again because of that.
    """
    told = Carried()
    for upload in _open():
        if upload.state == UploadState.CHECKING:
            is_whole = _carry_file(upload, source, target)
            if not is_whole:
                _ask_again(upload, target)
        elif upload.part_count > 1 and upload.part_bytes < least_part_bytes:
            Upload.objects.filter(pk=upload.pk).update(state=UploadState.CANCELLED)
            told.cancelled.append(str(upload.public_id))
            continue
        else:
            is_whole = _carry_parts(upload, source, target)
        told.add(upload, is_whole=is_whole)
    return told


def reopen_without_bytes(*, store: BlobStore) -> Carried:
    """Reopen uploads whose bytes are missing after the database was restored."""
    told = Carried()
    for upload in _open():
        if upload.state == UploadState.CHECKING:
            names = filter(None, (upload.storage_key, upload.sha256))
            is_whole = any(_has(store, name) for name in names)
        else:
            is_whole = not upload.parts.exists()
        if not is_whole:
            _ask_again(upload, store)
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
        return (
            bool(upload.sha256)
            and migrate_store.bring(named, source=source, target=target) == "done"
        )
    with handle:
        sent = storage.Measured(storage.chunks_of(handle))
        target.write(upload.storage_key, sent)
    with target.open(upload.storage_key) as written:
        arrived = storage.Measured(storage.chunks_of(written))
        for _chunk in arrived:
            pass
    # A file that came by parts has no digest yet.
    expected = storage.Written(upload.size_bytes, upload.sha256 or sent.written.sha256)
    return sent.written == arrived.written == expected


def _carry_parts(upload: Upload, source: BlobStore, target: BlobStore) -> bool:
    """Bring the parts that arrived; whether all of them could be.

    Parts in a bucket cannot be read before they are joined.
    """
    _open_anew(upload, target)
    rows = list(upload.parts.all())
    if not rows:
        return True
    try:
        handle = source.open(upload.storage_key)
    except FileNotFoundError:
        _ask_again(upload, target)
        return False
    with handle:
        for row in rows:
            _carry_part(row, _part_of(upload, row.number), handle, target)
    return upload.parts.count() == len(rows)


def _carry_part(row: UploadPart, part: storage.Part, handle: BinaryIO, target: BlobStore) -> None:
    """Bring one part; if it is not what arrived once, it counts as missing."""
    handle.seek(part.offset)
    sent = storage.Measured(_exactly(handle, part.size))
    row.tag = target.write(row.upload.storage_key, sent, part=part)
    expected = storage.Written(part.size, row.sha256 or sent.written.sha256)  # "": straight there
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


def _open_anew(upload: Upload, store: BlobStore) -> None:
    """Make the key of an upload ready for parts, as for a new one; a bucket may have sealed it."""
    store.delete(upload.storage_key)
    store.link(upload.storage_key, _part_of(upload, 1))


def _ask_again(upload: Upload, store: BlobStore) -> None:
    """Have the upload wait for all of its bytes."""
    _open_anew(upload, store)
    with transaction.atomic():
        upload.parts.all().delete()
        Upload.objects.filter(pk=upload.pk).update(
            state=UploadState.RECEIVING, sha256="", anatomy=None, updated_at=timezone.now()
        )
        queue.cancel(f"{uploads.CHECK_TASK}:{upload.pk}")
