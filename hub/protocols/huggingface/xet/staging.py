"""Xorbs that wait for their shard: rows, and bytes under private keys of the store.

A session is the uploads of one client with one URL. Any web server of the hub receives its xorbs
and assembles its files. Xorbs are unchecked and never published. They are deleted when their shard
was assembled, or when the session was idle for ``IDLE_S``.

The row of a xorb has the offsets of its chunks, to find them without reading the others. It is
written before the bytes arrive, so that those that are being received count as well.
"""

from __future__ import annotations

import time
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from hub.protocols.huggingface.xet import xorbs
from hub.protocols.huggingface.xet.shards import Segment
from registry import storage
from registry.errors import Conflict, Invalid, QuotaExceeded, SizeMismatch
from registry.jobs import leases
from registry.models import XetSession, XetXorb
from registry.storage import CHUNK

if TYPE_CHECKING:
    from registry.uploads.receive import Readable

#: Seconds without data after which a session is deleted.
IDLE_S = 3600
#: Seconds between two notes that a xorb is still arriving.
TOUCH_S = 300.0
#: Maximum number of staged xorbs of a user.
MAX_XORBS = 20_000
#: Number of xorbs that are open at once while a file is assembled.
OPEN_XORBS = 16


@dataclass(frozen=True, slots=True)
class Session:
    """The session of an upload; ``name`` is the 32 hex digits in its URL."""

    user_id: int
    adapter_id: int
    name: str

    @property
    def rows(self) -> QuerySet[XetSession]:
        """Return its row, if a xorb has arrived."""
        return XetSession.objects.filter(
            user_id=self.user_id, adapter_id=self.adapter_id, name=self.name
        )

    @property
    def xorbs(self) -> QuerySet[XetXorb]:
        """Return the rows of its xorbs, including those being received."""
        return XetXorb.objects.filter(session__in=self.rows)

    @property
    def lease(self) -> str:
        """Return the name of the lease of whoever assembles its files."""
        return f"xet {self.name}"


class Size(NamedTuple):
    """Number and total size of xorbs."""

    files: int = 0
    bytes: int = 0


class _Open(NamedTuple):
    """An open xorb: its bytes, and the offset of each chunk and of the end."""

    file: BinaryIO
    offsets: array[int]


def keep(session: Session, name: str, stream: Readable, size_bytes: int) -> bool:
    """Store a xorb; return whether it is new.

    Args:
        name: Its hash, 64 hex digits; an existing xorb of that name is replaced.
        stream: Its bytes, which are not held in memory.

    Raises:
        XorbInvalid: the bytes are not a xorb.
        SizeMismatch: there are fewer bytes than announced.
        QuotaExceeded: the user has too many staged xorbs.
        Conflict: the session was assembled or deleted meanwhile.
        StorageFull, StorageAway: the store has no room, or does not respond.
    """
    row, index = _begin(session, name, size_bytes), xorbs.Index(size_bytes)
    try:
        _require_room(session.user_id)
        body = index.passing(_chunks(session, stream, size_bytes))
        storage.store().write(row.key, body, is_durable=False)
        earlier = _finish(session, row, index.offsets)
    except BaseException:
        row.delete()
        storage.discard(row.key)
        raise
    for key in earlier:
        storage.discard(key)
    return not earlier


@transaction.atomic
def _begin(session: Session, name: str, size_bytes: int) -> XetXorb:
    place, _is_new = XetSession.objects.update_or_create(
        user_id=session.user_id,
        adapter_id=session.adapter_id,
        name=session.name,
        defaults={"touched_at": timezone.now()},
    )
    key = storage.new_key()
    return XetXorb.objects.create(session=place, name=name, key=key, size_bytes=size_bytes)


@transaction.atomic
def _finish(session: Session, row: XetXorb, offsets: array[int]) -> list[str]:
    """Make a stored xorb one of the session; return the keys of those that it replaces."""
    session.rows.update(touched_at=timezone.now())  # which locks it, too
    if not XetXorb.objects.filter(pk=row.pk).update(offsets=offsets.tobytes()):
        text = _("This upload was finished or deleted in the meantime. Send it again.")
        raise Conflict(text)
    earlier = session.xorbs.filter(name=row.name, offsets__isnull=False).exclude(pk=row.pk)
    keys = list(earlier.values_list("key", flat=True))
    earlier.delete()
    return keys


def _chunks(session: Session, stream: Readable, size_bytes: int) -> Iterator[bytes]:
    left, touch_at = size_bytes, time.monotonic() + TOUCH_S
    while left:
        if time.monotonic() >= touch_at:  # a slow body is not idle
            touch_at += TOUCH_S
            session.rows.update(touched_at=timezone.now())
        chunk = stream.read(min(CHUNK, left))
        if not chunk:
            text = _("%(got)d bytes arrived, not the announced %(expected)d. Send them again.")
            facts = {"expected": size_bytes, "got": size_bytes - left}
            raise SizeMismatch(text % facts, expected=size_bytes, received=size_bytes - left)
        yield chunk
        left -= len(chunk)


def _require_room(user_id: int) -> None:
    """Require that the user's xorbs, including those being received, are within the limits."""
    limit, (count, size) = settings.LORARY.xet_bytes, waiting(user_id)
    if size > limit or count > MAX_XORBS:
        text = _(
            "You have %(size)d bytes in %(count)d pieces of unfinished uploads; the limit is "
            "%(limit)d bytes in %(most)d pieces. Upload fewer files at a time. Pieces of "
            "interrupted uploads are deleted after %(minutes)d minutes."
        )
        facts = {"size": size, "count": count, "limit": limit, "most": MAX_XORBS}
        raise QuotaExceeded(
            text % {**facts, "minutes": IDLE_S // 60}, quota_bytes=limit, used_bytes=size
        )


@contextmanager
def changing(session: Session) -> Iterator[None]:
    """Hold a session alone, while its files are assembled.

    Raises:
        Conflict: another request does.
    """
    with leases.holding(session.lease):
        yield


class Stored:
    """The xorbs of a session, for reading; a few are open at a time."""

    def __init__(self, session: Session) -> None:
        self.session = session
        rows = session.xorbs.filter(offsets__isnull=False).order_by("pk")
        self._rows: dict[str, int] = dict(rows.values_list("name", "pk"))
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        while self._open:
            self._close_oldest()

    def require(self, names: Iterable[str]) -> None:
        """Require that all xorbs exist.

        Raises:
            Invalid: one is missing.
        """
        for name in names:
            if name not in self._rows:
                raise _absent(name)

    def chunks(self, segment: Segment) -> Iterator[bytes]:
        """Yield the bytes of a segment.

        Raises:
            Invalid: its xorb is missing.
            XorbInvalid: the xorb does not have these chunks, or they have another length.
        """
        xorb = self._opened(segment.xorb)
        if segment.end >= len(xorb.offsets):
            count = len(xorb.offsets) - 1
            msg = f"Xorb {segment.xorb} has {count} chunks; {segment.end} are wanted."
            raise xorbs.XorbInvalid(msg)
        left = segment.size_bytes
        start, end = xorb.offsets[segment.start], xorb.offsets[segment.end]
        for chunk in xorbs.read(xorb.file, start, end):
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left:
            msg = f"A segment does not have the {segment.size_bytes} bytes that its shard says."
            raise xorbs.XorbInvalid(msg)

    def _opened(self, name: str) -> _Open:
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        if len(self._open) >= OPEN_XORBS:
            self._close_oldest()
        row = XetXorb.objects.filter(pk=self._rows.get(name, 0)).first()
        try:
            file = storage.store().open(row.key) if row else None
        except FileNotFoundError:
            file = None
        if row is None or file is None:
            raise _absent(name)
        offsets = array("I")
        offsets.frombytes(bytes(row.offsets or b""))
        self._open[name] = _Open(file, offsets)
        return self._open[name]

    def _close_oldest(self) -> None:
        self._open.popitem(last=False)[1].file.close()


def _absent(name: str) -> Invalid:
    text = _("The data %(name)s… was not found. Upload the file again.")
    return Invalid(text % {"name": name[:16]}, xorb=name)


def remove(session: Session) -> None:
    """Delete a session with its xorbs, also those being received."""
    with transaction.atomic():
        list(session.rows.select_for_update())  # or a xorb could begin in between
        keys = list(session.xorbs.values_list("key", flat=True))
        session.rows.delete()
    for key in keys:
        storage.discard(key)


def waiting(user_id: int) -> Size:
    """Return the size of a user's xorbs, including those being received."""
    return _size(XetXorb.objects.filter(session__user_id=user_id))


def size_of(session: Session) -> int:
    """Return the number of bytes of a session, including those being received."""
    return _size(session.xorbs).bytes


def written_of(session: Session) -> int:
    """Return the number of file bytes written from a session's xorbs, including refused files."""
    return session.rows.values_list("written_bytes", flat=True).first() or 0


def count(session: Session, size_bytes: int) -> None:
    """Add the size of a file to the written bytes."""
    session.rows.update(written_bytes=F("written_bytes") + size_bytes)


def sweep(*, is_dry: bool = False) -> Size:
    """Delete sessions that were idle for ``IDLE_S``; return the size of their xorbs.

    Args:
        is_dry: Whether to only count.
    """
    went = [_sweep_one(row, is_dry=is_dry) for row in _idle()]
    return Size(sum(one.files for one in went), sum(one.bytes for one in went))


def _idle() -> QuerySet[XetSession]:
    return XetSession.objects.filter(touched_at__lt=timezone.now() - timedelta(seconds=IDLE_S))


def _sweep_one(row: XetSession, *, is_dry: bool) -> Size:
    session = Session(row.user_id, row.adapter_id, row.name)
    size = _size(session.xorbs)
    if is_dry:
        return Size() if leases.is_held(session.lease) else size
    with suppress(Conflict), changing(session):
        if not _idle().filter(pk=row.pk).exists():  # a xorb arrived meanwhile
            return Size()
        remove(session)
        return size
    return Size()  # it is being assembled


def _size(rows: QuerySet[XetXorb]) -> Size:
    found = rows.aggregate(files=Count("pk"), size=Sum("size_bytes", default=0))
    return Size(found["files"], found["size"])
