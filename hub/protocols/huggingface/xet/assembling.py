"""Assembles files from the chunks of xorbs, and stores them as uploads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from django.conf import settings
from django.utils.translation import gettext as _

from hub.protocols.huggingface.xet import shards, staging
from hub.protocols.huggingface.xet.shards import FileEntry, ShardInvalid
from hub.protocols.huggingface.xet.staging import Session, Stored
from hub.protocols.huggingface.xet.xorbs import XorbInvalid
from registry.errors import Invalid, TooLarge, UploadRefused
from registry.models import User
from registry.uploads import by_digest
from registry.uploads import services as uploads

#: Maximum ratio of the files of a shard to staged bytes: chunks are compressed and deduplicated.
UNPACKED = 2
#: A shard of this length may be one of several in its session; 64 MiB describe some 50 GB.
LONG_BYTES = 32 * 2**20


def assemble(*, actor: User, session: Session, shard: BinaryIO, size_bytes: int) -> None:
    """Store the files of a shard, then delete the session's xorbs. It is idempotent.

    Files that were stored before an error stay, so that a repeated shard continues from there. So
    does the count of written bytes, as otherwise refused shards could be repeated without end.

    Args:
        shard: The shard; seekable.

    Raises:
        ShardInvalid, XorbInvalid: the bytes are invalid or inconsistent.
        Invalid: a xorb is missing.
        DigestMismatch: a file does not have the sha256 in its shard.
        Conflict: the session is busy.
        TooLarge, QuotaExceeded, StorageFull, StorageAway: see ``registry.uploads.by_digest``.
    """
    entries = shards.files_of(shard, size_bytes)
    _require_sane(entries)
    with staging.changing(session):
        room = settings.LORARY.xet_ratio * (size_bytes + staging.size_of(session))
        with staging.Stored(session) as stored:
            for entry in entries:
                _deposit(actor, stored, shard, entry, room)
        if size_bytes < LONG_BYTES:
            staging.remove(session)


def _require_sane(entries: list[FileEntry]) -> None:
    """Refuse files whose total size is implausible: chunks may be repeated very often."""
    limit = UNPACKED * settings.LORARY.xet_bytes
    if sum(entry.size_bytes for entry in entries) > limit:
        text = _(
            "The files of one upload can have at most %(limit)d bytes. Send fewer files at a time."
        )
        raise TooLarge(text % {"limit": limit}, limit=limit)


def _deposit(actor: User, stored: Stored, shard: BinaryIO, entry: FileEntry, room: int) -> None:
    """Assemble and store a file unless its bytes are stored already.

    Args:
        room: Number of bytes that the session's files may have, including refused ones.
    """
    upload = by_digest.begin(actor=actor, sha256=entry.sha256, size_bytes=entry.size_bytes)
    if upload is None:
        return
    try:
        stored.require(segment.xorb for segment in shards.segments_of(shard, entry))
        _require_ratio(entry, room - staging.written_of(stored.session))
        staging.count(stored.session, entry.size_bytes)
        by_digest.receive_body(actor=actor, upload=upload, stream=_Chunks(stored, shard, entry))
    except (ShardInvalid, XorbInvalid, Invalid, TooLarge, UploadRefused):
        uploads.cancel(actor=actor, upload=upload)  # it cannot be resumed
        raise


def _require_ratio(entry: FileEntry, room: int) -> None:
    if entry.size_bytes > room:
        ratio = settings.LORARY.xet_ratio
        text = _(
            "The files of one upload can have at most %(ratio)d times the bytes that were "
            "sent for them; “%(name)s…” would have more. Send it without Xet "
            "(HF_HUB_DISABLE_XET=1)."
        )
        raise TooLarge(text % {"ratio": ratio, "name": entry.sha256[:12]}, limit=max(0, room))


class _Chunks:
    """The bytes of a file, as a readable body."""

    def __init__(self, stored: Stored, shard: BinaryIO, entry: FileEntry) -> None:
        self._chunks, self._rest = _chunks(stored, shard, entry), b""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, b"" at the end."""
        chunk = self._rest or next(self._chunks, b"")
        self._rest = chunk[size:]
        return chunk[:size]


def _chunks(stored: Stored, shard: BinaryIO, entry: FileEntry) -> Iterator[bytes]:
    for segment in shards.segments_of(shard, entry):
        yield from stored.chunks(segment)
