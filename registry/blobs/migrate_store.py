"""Bringing bytes from one blob store to another, and proving that they arrived.

A blob is written under a private key of the target, read back from there, and given its address
only when its sha256 is right. So whatever has an address in the target was verified when it came:
a run may be cut off anywhere and be repeated, also beside a running hub. Nothing is taken from the
source.

Memory: a few buffers for each thread, and about 120 bytes for each file that the target has.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registry import storage
from registry.errors import LoraryError, StorageFull
from registry.models import Blob
from registry.scan import checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from registry.storage import BlobStore

    #: Digest and length in bytes.
    Named = tuple[str, int]
    Progress = Callable[[int, int], None]

#: Files on their way at once: enough to hide the answers of a distant store.
THREADS = 4
#: Rows of one query.
PAGE = 2000

_DONE, _MISSING, _DAMAGED = "done", "missing", "damaged"


@dataclass(slots=True)
class Tally:
    """What became of files.

    Attributes:
        done: Files copied, or read and found whole; ``bytes_done`` is their length together.
        present: Files that the target had already.
        missing: Digests of which there are no bytes.
        damaged: Digests whose bytes are others.
        failed: Digest → what a store said; to be tried again.
    """

    done: int = 0
    bytes_done: int = 0
    present: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is amiss."""
        return not (self.missing or self.damaged or self.failed)

    def add(self, named: Named, outcome: str) -> None:
        """Count the outcome of one file."""
        sha256, size = named
        if outcome == _DONE:
            self.done, self.bytes_done = self.done + 1, self.bytes_done + size
        elif outcome == _MISSING:
            self.missing.append(sha256)
        elif outcome == _DAMAGED:
            self.damaged.append(sha256)
        else:
            self.failed[sha256] = outcome


@dataclass(slots=True)
class Census:
    """What the rows name, and what a store has.

    Attributes:
        blobs: Files that the rows name; ``bytes`` is their length together.
        files: Files that have an address in the store.
        missing: Digests that the rows name and the store lacks, or has in another length.
        orphans: Files in the store that no row names; the sweeper's.
        incoming: Files on their way in.
    """

    blobs: int = 0
    bytes: int = 0
    files: int = 0
    file_bytes: int = 0
    missing: list[str] = field(default_factory=list)
    orphans: int = 0
    orphan_bytes: int = 0
    incoming: int = 0
    incoming_bytes: int = 0


def stored() -> Iterator[Named]:
    """Yield what the rows say is stored, by age.

    Each page is a query of its own: an open one would keep SQLite from shortening its log.
    """
    last = 0
    rows = Blob.objects.filter(is_stored=True).order_by("pk")
    while page := list(rows.filter(pk__gt=last).values_list("pk", "sha256", "size_bytes")[:PAGE]):
        yield from ((sha256, size) for _pk, sha256, size in page)
        last = page[-1][0]


def sizes(store: BlobStore) -> dict[bytes, int]:
    """Return digest → length in bytes of everything that has an address in a store."""
    return {bytes.fromhex(one.name): one.size for one in store.names() if _is_blob(one)}


def copy(
    *,
    source: BlobStore,
    target: BlobStore,
    blobs: Iterable[Named] | None = None,
    threads: int = THREADS,
    is_dry: bool = False,
    progress: Progress | None = None,
) -> Tally:
    """Bring blobs to another store; those that are there in full length are left alone.

    Args:
        source: Where they are.
        target: Where they shall be.
        blobs: Which; what the rows say is stored when left out.
        threads: Files on their way at once.
        is_dry: Only say what would be copied, and what is missing at the source.
        progress: Gets files and bytes copied so far, after each.

    Raises:
        StorageFull: the target has no room; what was copied stays.
    """
    told, there = Tally(), sizes(target)
    lacking = _lacking(stored() if blobs is None else blobs, there, told)
    if is_dry:
        here = sizes(source)
        for named in lacking:
            told.add(named, _DONE if here.get(bytes.fromhex(named[0])) == named[1] else _MISSING)
        return told
    _work_off(lambda named: copy_one(named, source=source, target=target), lacking, threads, told,
              progress)  # fmt: skip
    if blobs is None:
        _forget_swept(told)
    return told


def verify(
    *,
    store: BlobStore,
    blobs: Iterable[Named] | None = None,
    threads: int = THREADS,
    progress: Progress | None = None,
) -> Tally:
    """Read blobs in whole and compare length and sha256; changes nothing."""

    def look(named: Named) -> str:
        try:
            found = _read(store, named[0])
        except FileNotFoundError:
            return _MISSING
        return _DONE if found == storage.Written(named[1], named[0]) else _DAMAGED

    told = Tally()
    _work_off(look, stored() if blobs is None else blobs, threads, told, progress)
    if blobs is None:
        _forget_swept(told)
    return told


def mend(
    *,
    source: BlobStore,
    target: BlobStore,
    threads: int = THREADS,
    progress: Progress | None = None,
) -> tuple[Tally, Tally]:
    """Read everything at the target, and bring what is missing, damaged or unreadable.

    Returns:
        What was found at the target, and what became of that which had to be brought.
    """
    found, told = verify(store=target, threads=threads, progress=progress), Tally()
    rows = Blob.objects.filter(sha256__in=[*found.missing, *found.damaged, *found.failed])
    wrong = list(rows.values_list("sha256", "size_bytes"))
    _work_off(lambda named: copy_one(named, source=source, target=target), wrong, threads, told,
              progress)  # fmt: skip
    return found, told


def copy_one(named: Named, *, source: BlobStore, target: BlobStore) -> str:
    """Bring one blob, over what is there; says what became of it, in the words of ``Tally.add``.

    Args:
        named: Which.
        source: Where it is.
        target: Where it shall be.

    Raises:
        LoraryError, OSError: a store is away or full.
    """
    sha256, size = named
    key, expected = sha256[:32], storage.Written(size, sha256)
    try:
        handle = source.open(sha256)
    except FileNotFoundError:
        return _MISSING
    target.delete(key)  # the rest of a run that was cut off
    with handle:
        sent = storage.Measured(storage.chunks_of(handle))
        target.write(key, sent)
    arrived = _read(target, key)
    if sent.written == expected == arrived:
        target.promote(key, sha256)
        return _DONE
    target.delete(key)
    return _DAMAGED if sent.written != expected else "the target reads other bytes than were sent"


def census(store: BlobStore) -> Census:
    """Compare the rows with what a store lists; no bytes are read."""
    told, there = Census(), {}
    for entry in store.names():
        if _is_blob(entry):
            there[bytes.fromhex(entry.name)] = entry.size
        else:
            told.incoming, told.incoming_bytes = told.incoming + 1, told.incoming_bytes + entry.size
    told.files, told.file_bytes = len(there), sum(there.values())
    for sha256, size in stored():
        told.blobs, told.bytes = told.blobs + 1, told.bytes + size
        if there.pop(bytes.fromhex(sha256), None) != size:
            told.missing.append(sha256)
    told.orphans, told.orphan_bytes = len(there), sum(there.values())
    return told


def _is_blob(entry: storage.Entry) -> bool:
    """Whether it has an address, and is no rest of a copy that was cut off."""
    return len(entry.name) == 64 and not entry.is_partial


def _lacking(blobs: Iterable[Named], there: dict[bytes, int], told: Tally) -> Iterator[Named]:
    """Yield what the target lacks, and count what it has."""
    for sha256, size in blobs:
        if there.get(bytes.fromhex(sha256)) == size:
            told.present += 1
        else:
            yield sha256, size


def _read(store: BlobStore, name: str) -> storage.Written:
    with store.open(name) as handle:
        return storage.Written(handle.size, checks.digest(storage.chunks_of(handle)))


def _work_off(
    work: Callable[[Named], str],
    blobs: Iterable[Named],
    threads: int,
    told: Tally,
    progress: Progress | None,
) -> None:
    """Do it with each blob, a few at a time; rows are read by the calling thread alone."""
    for named, outcome in _outcomes(work, blobs, threads):
        told.add(named, outcome)
        if progress is not None:
            progress(told.done, told.bytes_done)


def _outcomes(
    work: Callable[[Named], str], blobs: Iterable[Named], threads: int
) -> Iterator[tuple[Named, str]]:
    waiting: deque[tuple[Named, Future[str]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for named in blobs:
            waiting.append((named, pool.submit(_trying, work, named)))
            if len(waiting) > 2 * threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _trying(work: Callable[[Named], str], named: Named) -> str:
    """Do it; what keeps one file from being read or written need not keep the others."""
    try:
        return work(named)
    except StorageFull:
        raise
    except (LoraryError, OSError) as error:
        return str(error) or type(error).__name__


def _forget_swept(told: Tally) -> None:
    """Drop from what is missing that which the sweeper removed since its row was read."""
    if told.missing:
        kept = Blob.objects.filter(sha256__in=told.missing, is_stored=True)
        still = set(kept.values_list("sha256", flat=True))
        told.missing = [sha256 for sha256 in told.missing if sha256 in still]
