"""Xorbs that wait for their shard, in the data directory.

```
xet/{user}-{adapter}-{session}/{xorb}             a received xorb
xet/{user}-{adapter}-{session}/{xorb}.{random}    one that is being received
xet/{user}-{adapter}-{session}/written            number of file bytes that were written from them
```

A session is the uploads of one client with one URL. Xorbs are unchecked and never published. They
are deleted when their shard was assembled, or when the session was idle for ``IDLE_S``.

A received xorb gets an index at its end, to find chunks without reading the others: the offsets of
its chunks as u32, then their number as u32.
"""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from django.conf import settings
from django.utils.translation import gettext as _

from hub.protocols.huggingface.xet import xorbs
from hub.protocols.huggingface.xet.shards import Segment
from registry import locks
from registry.errors import Conflict, Invalid, QuotaExceeded, SizeMismatch
from registry.storage.base import CHUNK, refuse_when_full

if TYPE_CHECKING:
    from registry.uploads.receive import Readable

#: Seconds without data after which a session is deleted.
IDLE_S = 3600
#: Maximum number of staged xorbs of a user.
MAX_XORBS = 20_000
#: Number of xorbs that are open at once while a file is assembled.
OPEN_XORBS = 16

#: Name of the file with the number of written bytes, which is not a valid name of a xorb.
WRITTEN = "written"

_COUNT = struct.Struct("<I")
_TOTAL = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Session:
    """The session of an upload; ``name`` is the 32 hex digits in its URL."""

    user_id: int
    adapter_id: int
    name: str

    @property
    def folder(self) -> Path:
        """Return the folder, which may not exist yet."""
        return _root() / f"{self.user_id}-{self.adapter_id}-{self.name}"


class Size(NamedTuple):
    """Number and total size of xorbs."""

    files: int = 0
    bytes: int = 0


class _Open(NamedTuple):
    """An open xorb: its file, the offset of its index, the number of its chunks."""

    file: BinaryIO
    index_at: int
    chunks: int


def keep(session: Session, name: str, stream: Readable, size_bytes: int) -> bool:
    """Store a xorb; return whether it is new.

    Args:
        name: Its hash, 64 hex digits; an existing xorb of that name is replaced.
        stream: Its bytes, which are not held in memory.

    Raises:
        XorbInvalid: the bytes are not a xorb.
        SizeMismatch: there are fewer bytes than announced.
        QuotaExceeded: the user has too many staged xorbs.
        Conflict: the session is being assembled or deleted.
        StorageFull: the disk is full.
    """
    with locks.holding(session.name, is_shared=True):
        session.folder.mkdir(parents=True, exist_ok=True)
        target = session.folder / name
        draft = target.with_suffix(f".{secrets.token_hex(8)}")
        try:
            with refuse_when_full(), draft.open("x+b") as file:
                # At full length from the start, so that concurrent requests count it.
                file.truncate(size_bytes)
                _require_room(session.user_id)
                _copy(stream, file, size_bytes)
                _append_index(file, size_bytes)
            is_new = not target.exists()
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    return is_new


def _copy(stream: Readable, file: BinaryIO, size_bytes: int) -> None:
    left = size_bytes
    while left:
        chunk = stream.read(min(CHUNK, left))
        if not chunk:
            text = _("%(got)d bytes arrived, not the announced %(expected)d. Send them again.")
            facts = {"expected": size_bytes, "got": size_bytes - left}
            raise SizeMismatch(text % facts, expected=size_bytes, received=size_bytes - left)
        file.write(chunk)
        left -= len(chunk)


def _append_index(file: BinaryIO, size_bytes: int) -> None:
    starts = xorbs.index(file, size_bytes)
    file.seek(0, os.SEEK_END)
    file.write(struct.pack(f"<{len(starts)}I", *starts))
    file.write(_COUNT.pack(len(starts) - 1))


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
    """Lock a session exclusively.

    Raises:
        Conflict: another request uses it.
    """
    with locks.holding(session.name):
        yield


class Stored:
    """The xorbs of a session, for reading; a few are open at a time."""

    def __init__(self, session: Session) -> None:
        self.session, self._folder = session, session.folder
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
        for name in set(names):
            if not (self._folder / name).exists():
                raise _absent(name)

    def chunks(self, segment: Segment) -> Iterator[bytes]:
        """Yield the bytes of a segment.

        Raises:
            Invalid: its xorb is missing.
            XorbInvalid: the xorb does not have these chunks, or they have another length.
        """
        xorb = self._opened(segment.xorb)
        if segment.end > xorb.chunks:
            msg = f"Xorb {segment.xorb} has {xorb.chunks} chunks; {segment.end} are wanted."
            raise xorbs.XorbInvalid(msg)
        left = segment.size_bytes
        for chunk in xorbs.read(
            xorb.file, self._start(xorb, segment.start), self._start(xorb, segment.end)
        ):
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left:
            msg = f"A segment has other than the {segment.size_bytes} bytes that its shard says."
            raise xorbs.XorbInvalid(msg)

    @staticmethod
    def _start(xorb: _Open, number: int) -> int:
        xorb.file.seek(xorb.index_at + number * _COUNT.size)
        return int(_COUNT.unpack(xorb.file.read(_COUNT.size))[0])

    def _opened(self, name: str) -> _Open:
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        if len(self._open) >= OPEN_XORBS:
            self._close_oldest()
        try:
            file = (self._folder / name).open("rb")
        except FileNotFoundError as error:
            raise _absent(name) from error
        file.seek(-_COUNT.size, os.SEEK_END)
        (chunks,) = _COUNT.unpack(file.read(_COUNT.size))
        index = file.tell() - (chunks + 2) * _COUNT.size
        self._open[name] = _Open(file, index, chunks)
        return self._open[name]

    def _close_oldest(self) -> None:
        self._open.popitem(last=False)[1].file.close()


def _absent(name: str) -> Invalid:
    text = _("The data %(name)s… was not found. Upload the file again.")
    return Invalid(text % {"name": name[:16]}, xorb=name)


def remove(session: Session) -> None:
    """Delete a session; the caller holds its lock."""
    shutil.rmtree(session.folder, ignore_errors=True)


def waiting(user_id: int) -> Size:
    """Return the size of a user's xorbs, including those being received."""
    sizes = [_size(folder) for folder in _root().glob(f"{user_id}-*-*")]
    return Size(sum(one.files for one in sizes), sum(one.bytes for one in sizes))


def size_of(session: Session) -> int:
    """Return the number of received bytes of a session."""
    return _size(session.folder).bytes


def written_of(session: Session) -> int:
    """Return the number of file bytes written from a session's xorbs, including refused files."""
    with suppress(FileNotFoundError, struct.error):
        return int(_TOTAL.unpack((session.folder / WRITTEN).read_bytes())[0])
    return 0


def count(session: Session, size_bytes: int) -> None:
    """Add the size of a file to the written bytes; the caller holds the lock."""
    total = _TOTAL.pack(written_of(session) + size_bytes)
    with suppress(FileNotFoundError), refuse_when_full():  # a session without xorbs has no folder
        (session.folder / WRITTEN).write_bytes(total)


def sweep(*, is_dry: bool = False) -> Size:
    """Delete sessions that were idle for ``IDLE_S``; return the size of their xorbs.

    Args:
        is_dry: Whether to only count.
    """
    oldest = time.time() - IDLE_S
    idle = [folder for folder in _root().glob("*-*-*") if _changed(folder) < oldest]
    went = [_sweep_one(folder, oldest, is_dry=is_dry) for folder in idle]
    return Size(sum(one.files for one in went), sum(one.bytes for one in went))


def _sweep_one(folder: Path, oldest: float, *, is_dry: bool) -> Size:
    with suppress(Conflict), locks.holding(folder.name.rpartition("-")[2]):
        if _changed(folder) < oldest:
            size = _size(folder)
            if not is_dry:
                shutil.rmtree(folder, ignore_errors=True)
            return size
    return Size()  # it is being assembled


def _size(folder: Path) -> Size:
    lengths = [status.st_size for status in _files(folder)]
    return Size(len(lengths), sum(lengths))


def _root() -> Path:
    return settings.LORARY.data / "xet"


def _files(folder: Path) -> Iterator[os.stat_result]:
    """Yield the status of each xorb; files may appear and disappear meanwhile."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.name != WRITTEN:
                    yield entry.stat()


def _changed(folder: Path) -> float:
    """Return the last change in seconds since the epoch; 0 if the session was deleted."""
    with suppress(FileNotFoundError):
        times = [folder.stat().st_mtime, *(status.st_mtime for status in _files(folder))]
        return max(times)
    return 0.0
