"""Xorbs that wait for their shard, in the data directory of this machine.

```
xet/{user}-{adapter}-{session}/{xorb}             a xorb at rest
xet/{user}-{adapter}-{session}/{xorb}.{random}    one that is just arriving
xet/{user}-{adapter}-{session}/written            how many bytes of files were made of them
```

A session is the uploads of one client with one address. Nothing in it is published, or counts as
safe: a xorb leaves with the shard that needs it, or when its session was idle for ``IDLE_S``.

At rest a xorb has an index at its end, so that a range of chunks is found without reading the
others: offsets of its chunks as u32, then their number as u32.
"""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import time
from collections import OrderedDict
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from django.conf import settings
from django.utils.translation import gettext as _

from hub.protocols.huggingface.xet import xorbs
from registry import locks
from registry.errors import Conflict, Invalid, QuotaExceeded, SizeMismatch
from registry.storage.base import CHUNK, refuse_when_full

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Self

    from hub.protocols.huggingface.xet.shards import Segment
    from registry.uploads.receive import Readable

#: Seconds after which a session that nothing came for is given up.
IDLE_S = 3600
#: Most xorbs that one user may have waiting.
MAX_XORBS = 20_000
#: Xorbs that are open at once while a file is put together.
OPEN_XORBS = 16

#: Name of the file that counts what was written; no xorb is named so.
WRITTEN = "written"

_COUNT = struct.Struct("<I")
_TOTAL = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Session:
    """Where the xorbs of one upload lie; ``name`` is 32 hex digits that its client got."""

    user_id: int
    adapter_id: int
    name: str

    @property
    def folder(self) -> Path:
        """The folder, which may not be there yet."""
        return _root() / f"{self.user_id}-{self.adapter_id}-{self.name}"


class Size(NamedTuple):
    """How many xorbs, and how many bytes they have."""

    files: int = 0
    bytes: int = 0


class _Open(NamedTuple):
    """A xorb at rest: its bytes, where its index begins, how many chunks it has."""

    file: BinaryIO
    index_at: int
    chunks: int


def keep(session: Session, name: str, stream: Readable, size_bytes: int) -> bool:
    """Keep a xorb; whether there was none of this name yet.

    Args:
        session: Whose it is.
        name: Its hash, 64 hex digits; another one of that name is replaced.
        stream: Its bytes, which are not held in memory.
        size_bytes: How many were announced.

    Raises:
        XorbInvalid: these are not the bytes of a xorb.
        SizeMismatch: fewer bytes came than announced.
        QuotaExceeded: the user has too much waiting.
        Conflict: the session is just put together or removed.
        StorageFull: the disk has no room.
    """
    with locks.holding(session.name, is_shared=True):
        session.folder.mkdir(parents=True, exist_ok=True)
        target = session.folder / name
        draft = target.with_suffix(f".{secrets.token_hex(8)}")
        try:
            with refuse_when_full(), draft.open("x+b") as file:
                # At full length from the start, so that others see what is on its way.
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
    """Refuse what would be too much at once, that which is just arriving counted.

    Raises:
        QuotaExceeded: it is.
    """
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
    """Keep all others away from a session.

    Raises:
        Conflict: others are still busy with it.
    """
    with locks.holding(session.name):
        yield


class Stored:
    """The xorbs of a session, for reading; a few of them are open at a time."""

    def __init__(self, session: Session) -> None:
        self.session, self._folder = session, session.folder
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        while self._open:
            self._close_oldest()

    def require(self, names: Iterable[str]) -> None:
        """Let those pass whose xorbs are all here.

        Raises:
            Invalid: one is not.
        """
        for name in set(names):
            if not (self._folder / name).exists():
                raise _absent(name)

    def chunks(self, segment: Segment) -> Iterator[bytes]:
        """Yield the bytes of a segment.

        Raises:
            Invalid: its xorb is not here.
            XorbInvalid: the xorb has not these chunks, or they have another length.
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
    """Remove what a session has left; the caller keeps others away."""
    shutil.rmtree(session.folder, ignore_errors=True)


def waiting(user_id: int) -> Size:
    """Return what one user has waiting, that which is just arriving counted at full length."""
    sizes = [_size(folder) for folder in _root().glob(f"{user_id}-*-*")]
    return Size(sum(one.files for one in sizes), sum(one.bytes for one in sizes))


def size_of(session: Session) -> int:
    """Return how many bytes a session has received."""
    return _size(session.folder).bytes


def written_of(session: Session) -> int:
    """Return how many bytes of files were made of a session's xorbs, refused ones included."""
    with suppress(FileNotFoundError, struct.error):
        return int(_TOTAL.unpack((session.folder / WRITTEN).read_bytes())[0])
    return 0


def count(session: Session, size_bytes: int) -> None:
    """Count a file that is about to be made; the caller keeps others away."""
    total = _TOTAL.pack(written_of(session) + size_bytes)
    with suppress(FileNotFoundError), refuse_when_full():  # a session without xorbs has no folder
        (session.folder / WRITTEN).write_bytes(total)


def sweep(*, is_dry: bool = False) -> Size:
    """Remove sessions that have been idle for ``IDLE_S``; returns what was in them.

    Args:
        is_dry: Only count.
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
    return Size()  # it is being put together


def _size(folder: Path) -> Size:
    lengths = [status.st_size for status in _files(folder)]
    return Size(len(lengths), sum(lengths))


def _root() -> Path:
    return settings.LORARY.data / "xet"


def _files(folder: Path) -> Iterator[os.stat_result]:
    """Yield what is known of each xorb; others may come and go meanwhile."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.name != WRITTEN:
                    yield entry.stat()


def _changed(folder: Path) -> float:
    """Return when something last came, in seconds since the epoch; 0 if it is gone."""
    with suppress(FileNotFoundError):
        times = [folder.stat().st_mtime, *(status.st_mtime for status in _files(folder))]
        return max(times)
    return 0.0
