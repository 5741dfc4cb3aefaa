"""Files put together from the chunks of their xorbs, and deposited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.translation import gettext as _

from hub.protocols.huggingface.xet import shards, staging
from hub.protocols.huggingface.xet.shards import ShardInvalid
from hub.protocols.huggingface.xet.xorbs import XorbInvalid
from registry.errors import Invalid, TooLarge, UploadRefused
from registry.uploads import by_digest
from registry.uploads import services as uploads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from hub.protocols.huggingface.xet.shards import FileEntry
    from hub.protocols.huggingface.xet.staging import Session, Stored
    from registry.models import User

#: How many times what may wait the files of a shard may be, since chunks come packed and once.
UNPACKED = 2
#: A shard that long may be one of several of the same session; 64 MiB describe some 50 GB.
LONG_BYTES = 32 * 2**20


def assemble(*, actor: User, session: Session, shard: BinaryIO, size_bytes: int) -> None:
    """Deposit the files of a shard, then remove the session's xorbs; repeated, it does nothing.

    What was deposited before a refusal stays, so that a repeated shard goes on from there. So does
    the count of what was written, or shards that are refused could be repeated without end.

    Args:
        actor: Who sends.
        session: Where the xorbs lie.
        shard: Its bytes; seekable.
        size_bytes: Their length.

    Raises:
        ShardInvalid, XorbInvalid: these bytes are none, or do not fit together.
        Invalid: a xorb is not here.
        DigestMismatch: a file has another sha256 than its shard says.
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
    """Refuse files that are much more than their chunks could be: a few may be named very often.

    Raises:
        TooLarge: they are.
    """
    limit = UNPACKED * settings.LORARY.xet_bytes
    if sum(entry.size_bytes for entry in entries) > limit:
        text = _(
            "The files of one upload can have at most %(limit)d bytes. Send fewer files at a time."
        )
        raise TooLarge(text % {"limit": limit}, limit=limit)


def _deposit(actor: User, stored: Stored, shard: BinaryIO, entry: FileEntry, room: int) -> None:
    """Put a file together unless its bytes are here.

    Args:
        actor: Who sends.
        stored: The xorbs.
        shard: Which chunks make up the file.
        entry: The file.
        room: How many bytes the files of the session may have, those that were refused too.

    Raises:
        TooLarge: these are more, so the chunks came packed beyond all measure.
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
        uploads.cancel(actor=actor, upload=upload)  # nothing that could be gone on with
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
    """The bytes of a file, as a body that is read."""

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
