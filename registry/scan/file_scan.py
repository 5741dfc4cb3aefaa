"""Reads a file once, in constant memory, for everything that wants its bytes.

```
 file ──► four buffers of 1 MiB, filled in turn ──┬─► thread: sha256, AutoV1, CRC-32
                                                  ├─► thread: data_sha256, BLAKE3
                                                  └─► this thread: tensors, then the next block
```

SHA-256 takes most of the time, twice: of the file, and of the file without its header. Hashing and
numpy release the interpreter's lock, so two cores share the work. A buffer is filled again when the
threads are done with it, so a slow hash slows the reading and memory never grows.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from registry.scan.hashes import DataHashes, WholeHashes
from registry.scan.tensors import Numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from lorary.anatomy import Finding
    from lorary.safetensors import Header

    Progress = Callable[[int, int], None]
    Taker = Callable[[int, memoryview], None]

__all__ = ["Reading", "read"]

#: Bytes of a block. Longer ones leave the processor's cache before the last hash has seen them.
BLOCK = 1024 * 1024
BUFFERS = 4

#: Bytes asked of a stream that cannot fill a buffer by itself.
CHUNK = 256 * 1024

#: Bytes of the longest number (F64): blocks end where one of a tensor's numbers does.
_LONGEST = 8

#: Bytes between two calls of ``progress``.
STRIDE = 4 * BLOCK


@dataclass(frozen=True, slots=True)
class Reading:
    """What a whole file is like.

    Attributes:
        hashes: Kind → hash, see ``registry.scan.hashes``; those of tensors only of weights.
        findings: About its numbers.
    """

    hashes: dict[str, str]
    findings: tuple[Finding, ...] = ()


def read(
    handle: BinaryIO, size_bytes: int, header: Header | None, progress: Progress | None = None
) -> Reading:
    """Return the hashes of a file and what is wrong with its numbers.

    Args:
        handle: Open for reading; its position is changed.
        size_bytes: Length that it should have; a file that ends earlier is read as far as it goes.
        header: Of weights; None of all other files.
        progress: Gets bytes read and bytes in all, about once per 4 MiB; what it raises ends the
            reading.
    """
    start = None if header is None else header.data_start
    whole, data = WholeHashes(), DataHashes(start)
    numbers = None if header is None else Numbers(header)

    def look(begin: int, block: memoryview) -> None:
        if numbers is not None and start is not None:
            skipped = max(0, start - begin)
            numbers.update(begin + skipped - start, block[skipped:])

    told = 0
    for done in _stream(handle, _cuts(size_bytes, header), [whole.update, data.update], look):
        if progress is not None and (done - told >= STRIDE or done == size_bytes):
            told = done
            progress(done, size_bytes)
    hashes = whole.told() | data.told()
    if numbers is None:
        return Reading(hashes)
    hashes |= {"tensors": numbers.digest()} | numbers.weights()
    return Reading(hashes, tuple(numbers.findings()))


def _cuts(size_bytes: int, header: Header | None) -> Iterator[int]:
    """Yield where blocks end, so that none cuts a number in two."""
    rows = sorted(header.tensors.values(), key=lambda row: row.begin) if header else []
    begins = [row.begin for row in rows]
    start, end = header.data_start if header else 0, 0
    while end < size_bytes:
        end = min(end + BLOCK, size_bytes)
        at = bisect_right(begins, end - start) - 1
        if end < size_bytes and at >= 0:
            end -= (end - start - begins[at]) % _LONGEST
        yield end


def _stream(
    handle: BinaryIO, ends: Iterable[int], threads: Sequence[Taker], here: Taker
) -> Iterator[int]:
    """Give each block to every taker, in order, and yield how far that is."""
    buffers = [memoryview(bytearray(BLOCK)) for _ in range(BUFFERS)]
    busy: list[list[Future[None]]] = [[] for _ in buffers]
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(1, "hash")) for _ in threads]
        begin = 0
        handle.seek(0)
        for number, end in enumerate(ends):
            slot = number % BUFFERS
            _wait(busy[slot])
            block = buffers[slot][: end - begin]
            if not _fill(handle, block):
                break
            takers = zip(pools, threads, strict=True)
            busy[slot] = [pool.submit(taker, begin, block) for pool, taker in takers]
            here(begin, block)
            begin = end
            yield end
        for futures in busy:
            _wait(futures)


def _wait(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        future.result()


def _fill(handle: BinaryIO, block: memoryview) -> bool:
    """Read a whole block; False when the file ends before."""
    done = 0
    while done < len(block):
        if not (count := _read_into(handle, block[done:])):
            return False
        done += count
    return True


def _read_into(handle: BinaryIO, room: memoryview) -> int:
    """Read what comes, without a copy where the stream can do that."""
    if isinstance(handle, io.RawIOBase | io.BufferedIOBase):
        return handle.readinto(room) or 0
    piece = handle.read(min(len(room), CHUNK))
    room[: len(piece)] = piece
    return len(piece)
