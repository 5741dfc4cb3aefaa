"""Copies blobs from one store to another, and verifies the copies.

A blob is written under a private key of the target, read back, and promoted to its digest only if
its sha256 is correct. Every promoted blob of the target was thus verified: a run can be stopped and
repeated, even while a hub runs. Nothing is deleted from the source.

Memory: a few buffers for each thread, and about 120 bytes for each file that the target has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from registry import events, storage
from registry.errors import LoraryError, StorageFull
from registry.models import Blob
from registry.scan import checks
from registry.storage import BlobStore

#: Digest and length in bytes.
Named = tuple[str, int]
Progress = Callable[[int, int], None]

#: Number of files copied at once: enough to hide the latency of a distant store.
THREADS = 4
#: Number of rows in one query.
BATCH = 2000

_DONE, _MISSING, _DAMAGED = "done", "missing", "damaged"


@dataclass(slots=True)
class Tally:
    """The result of a copy or verification.

    Attributes:
        failed: Digest → error of a store; can be tried again.
    """

    done: int = 0  # files copied or verified; ``bytes_done`` is their total length
    bytes_done: int = 0
    present: int = 0  # files that the target had already
    missing: list[str] = field(default_factory=list)  # digests without bytes
    damaged: list[str] = field(default_factory=list)  # digests whose bytes differ
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether no file is missing, damaged or failed."""
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
    """The files of the rows and of a store.

    Attributes:
        missing: Digests with a row that the store lacks, or has in another length.
    """

    blobs: int = 0  # files that have a row; ``bytes`` is their total length
    bytes: int = 0
    files: int = 0  # promoted files in the store
    file_bytes: int = 0
    missing: list[str] = field(default_factory=list)
    orphans: int = 0  # promoted files without a row; the sweeper deletes them
    orphan_bytes: int = 0
    incoming: int = 0  # private files of uploads
    incoming_bytes: int = 0


def stored() -> Iterator[Named]:
    """Yield digest and length of the stored blobs, by age of their rows.

    Each page is a separate query: a long one would keep SQLite from truncating its log.
    """
    last = 0
    rows = Blob.objects.filter(is_stored=True).order_by("pk")
    while page := list(rows.filter(pk__gt=last).values_list("pk", "sha256", "size_bytes")[:BATCH]):
        yield from ((sha256, size) for _pk, sha256, size in page)
        last = page[-1][0]


def sizes(store: BlobStore) -> dict[bytes, int]:
    """Return digest → length in bytes of all promoted files of a store."""
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
    """Copy blobs to another store, except those that it already has with their full size.

    Args:
        blobs: The blobs; by default all stored ones.
        threads: Number of files copied at once.
        is_dry: Only report what would be copied, and what is missing in the source.
        progress: Called with files and bytes copied so far, after each file.

    Raises:
        StorageFull: the target is full; copied files stay.
    """
    tally, there = Tally(), sizes(target)
    lacking = _lacking(stored() if blobs is None else blobs, there, tally)
    if is_dry:
        here = sizes(source)
        for named in lacking:
            tally.add(named, _DONE if here.get(bytes.fromhex(named[0])) == named[1] else _MISSING)
        return tally
    _process(lambda named: copy_one(named, source=source, target=target), lacking, threads, tally,
              progress)  # fmt: skip
    if blobs is None:
        _forget_swept(tally)
    return tally


def verify(
    *,
    store: BlobStore,
    blobs: Iterable[Named] | None = None,
    reads_unknown: bool = False,
    threads: int = THREADS,
    progress: Progress | None = None,
) -> Tally:
    """Read blobs completely and compare length and sha256; change nothing.

    Args:
        store: Where they are.
        blobs: The blobs; by default all stored ones.
        reads_unknown: Whether to read also the files of the store that no row refers to, such as
            those of old backups.
        threads: Number of files read at once.
        progress: Called with files and bytes read so far, after each file.
    """

    def check(named: Named) -> str:
        try:
            found = _read(store, named[0])
        except FileNotFoundError:
            return _MISSING
        return _DONE if found == storage.Written(named[1], named[0]) else _DAMAGED

    tally, wanted = Tally(), stored() if blobs is None else blobs
    if reads_unknown:
        wanted = _and_others(wanted, sizes(store))
    _process(check, wanted, threads, tally, progress)
    if blobs is None:
        _forget_swept(tally)
    return tally


def _and_others(blobs: Iterable[Named], there: dict[bytes, int]) -> Iterator[Named]:
    """Yield blobs, and then the files of a store that are not among them."""
    for named in blobs:
        there.pop(bytes.fromhex(named[0]), None)
        yield named
    yield from ((digest.hex(), size) for digest, size in there.items())


def mend(
    *,
    source: BlobStore,
    target: BlobStore,
    threads: int = THREADS,
    progress: Progress | None = None,
) -> tuple[Tally, Tally]:
    """Verify the target, and copy the missing, damaged or unreadable blobs.

    Returns:
        The results of the verification and of the copy.
    """
    found, tally = verify(store=target, threads=threads, progress=progress), Tally()
    rows = Blob.objects.filter(sha256__in=[*found.missing, *found.damaged, *found.failed])
    wrong = list(rows.values_list("sha256", "size_bytes"))
    _process(lambda named: copy_one(named, source=source, target=target), wrong, threads, tally,
              progress)  # fmt: skip
    if tally.done:
        events.record(actor=None, verb="files_mended", count=tally.done)
    return found, tally


def copy_one(named: Named, *, source: BlobStore, target: BlobStore) -> str:
    """Copy one blob, replacing an existing one; return the outcome for ``Tally.add``.

    Raises:
        LoraryError, OSError: a store is unreachable or full.
    """
    sha256, size = named
    key, expected = sha256[:32], storage.Written(size, sha256)
    try:
        handle = source.open(sha256)
    except FileNotFoundError:
        return _MISSING
    target.delete(key)  # left over from an interrupted run
    with handle:
        sent = storage.Measured(storage.chunks_of(handle))
        target.write(key, sent)
    copied = _read(target, key)
    if sent.written == expected == copied:
        target.promote(key, sha256)
        return _DONE
    target.delete(key)
    return _DAMAGED if sent.written != expected else "the target returns other bytes than were sent"


def census(store: BlobStore) -> Census:
    """Compare the rows with the list of a store; no bytes are read."""
    seen, there = Census(), {}
    for entry in store.names():
        if _is_blob(entry):
            there[bytes.fromhex(entry.name)] = entry.size
        else:
            seen.incoming, seen.incoming_bytes = seen.incoming + 1, seen.incoming_bytes + entry.size
    seen.files, seen.file_bytes = len(there), sum(there.values())
    for sha256, size in stored():
        seen.blobs, seen.bytes = seen.blobs + 1, seen.bytes + size
        if there.pop(bytes.fromhex(sha256), None) != size:
            seen.missing.append(sha256)
    seen.orphans, seen.orphan_bytes = len(there), sum(there.values())
    return seen


def _is_blob(entry: storage.Entry) -> bool:
    """Whether an entry is a promoted file, and complete."""
    return len(entry.name) == 64 and not entry.is_partial


def _lacking(blobs: Iterable[Named], there: dict[bytes, int], tally: Tally) -> Iterator[Named]:
    """Yield the blobs that the target lacks, and count the others."""
    for sha256, size in blobs:
        if there.get(bytes.fromhex(sha256)) == size:
            tally.present += 1
        else:
            yield sha256, size


def _read(store: BlobStore, name: str) -> storage.Written:
    with store.open(name) as handle:
        return storage.Written(handle.size, checks.digest(storage.chunks_of(handle)))


def _process(
    action: Callable[[Named], str],
    blobs: Iterable[Named],
    threads: int,
    tally: Tally,
    progress: Progress | None,
) -> None:
    """Process the blobs in threads; only the calling thread reads rows."""
    for named, outcome in _outcomes(action, blobs, threads):
        tally.add(named, outcome)
        if progress is not None:
            progress(tally.done, tally.bytes_done)


def _outcomes(
    action: Callable[[Named], str], blobs: Iterable[Named], threads: int
) -> Iterator[tuple[Named, str]]:
    waiting: deque[tuple[Named, Future[str]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for named in blobs:
            waiting.append((named, pool.submit(_attempt, action, named)))
            if len(waiting) > 2 * threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(action: Callable[[Named], str], named: Named) -> str:
    """Process one blob; return an error that need not affect other blobs as the outcome."""
    try:
        return action(named)
    except StorageFull:
        raise
    except (LoraryError, OSError) as error:
        return str(error) or type(error).__name__


def _forget_swept(tally: Tally) -> None:
    """Remove from the missing digests those that were swept since their row was read."""
    if tally.missing:
        kept = Blob.objects.filter(sha256__in=tally.missing, is_stored=True)
        still = set(kept.values_list("sha256", flat=True))
        tally.missing = [sha256 for sha256 in tally.missing if sha256 in still]
