"""Reads a file once, in constant memory, for all checks and hashes.

```
 file ──► four buffers of 1 MiB, filled in turn ──┬─► thread: sha256, AutoV1, CRC-32
                                                  ├─► thread: data_sha256, BLAKE3
                                                  └─► this thread: tensors, sketch and energies
```

SHA-256 takes most of the time of a large file: once for the file, once for its data section.
Hashes release the interpreter's lock, so two cores share the work. Tensors and the sketch share a
thread: both need the lock often. In two threads, they take 1.6 times the CPU time for a small file.
A buffer is reused when the threads are done with it, so memory doesn't grow if a hash is slow.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from lorary.algebra.recognition.sketch import WeightSketches
from lorary.anatomy import Finding
from lorary.safetensors import Header
from registry.scan.hashes import DataHashes, WholeHashes
from registry.scan.sketching import SketchedTensors
from registry.scan.tensors import Numbers

Progress = Callable[[int, int], None]
Consumer = Callable[[int, memoryview], None]

#: Bytes of a block. Longer blocks don't stay in the processor's cache for all hashes.
BLOCK = 1024 * 1024
BUFFERS = 4

#: Bytes requested from a stream that has no ``readinto``.
CHUNK = 256 * 1024

#: Bytes of the longest number (F64); blocks must not split a number.
_LONGEST = 8

#: Bytes between two calls of ``progress``.
STRIDE = 4 * BLOCK


@dataclass(frozen=True, slots=True)
class FileScan:
    """The hashes, findings, sketch and energies of a whole file.

    Attributes:
        hashes: Kind → hash, see ``registry.scan.hashes``; those of tensors only for weights.
        findings: Findings about its numbers.
        sketch: Its sketch; None if it can't be sketched.
        energies: Block of the base model → energy of the update; None if there is no exact one.
    """

    hashes: dict[str, str]
    findings: tuple[Finding, ...] = ()
    sketch: WeightSketches | None = None
    energies: dict[str, float] | None = None


def scan_file(
    handle: BinaryIO, size_bytes: int, header: Header | None, progress: Progress | None = None
) -> FileScan:
    """Return the hashes of a file and findings about its numbers.

    Args:
        handle: Open for reading; its position is changed.
        size_bytes: Expected length; a shorter file is read to its end.
        header: Header of weights; None for other files.
        progress: Gets bytes read and the total, about once per 4 MiB; its exceptions end the scan.
    """
    start = None if header is None else header.data_start
    whole, data = WholeHashes(), DataHashes(start)
    numbers = None if header is None else Numbers(header)
    sketched = None if header is None else SketchedTensors(header)

    def read_tensors(begin: int, block: memoryview) -> None:
        if numbers is not None and sketched is not None and start is not None:
            skipped = max(0, start - begin)
            numbers.update(begin + skipped - start, block[skipped:])
            sketched.update(begin, block)

    reported = 0
    threaded = (whole.update, data.update)
    for done in _stream(handle, _cuts(size_bytes, header), threaded, read_tensors):
        if progress is not None and (done - reported >= STRIDE or done == size_bytes):
            reported = done
            progress(done, size_bytes)
    hashes = whole.results() | data.results()
    if numbers is None or sketched is None:
        return FileScan(hashes)
    hashes |= {"tensors": numbers.digest()} | numbers.weights()
    findings = tuple(numbers.findings())
    return FileScan(hashes, findings, sketched.result(), sketched.energies())


def _cuts(size_bytes: int, header: Header | None) -> Iterator[int]:
    """Yield the ends of blocks, such that none splits a number."""
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
    handle: BinaryIO, ends: Iterable[int], threaded: Sequence[Consumer], inline: Consumer
) -> Iterator[int]:
    """Pass each block to every consumer, in order, and yield the end of the block."""
    buffers = [memoryview(bytearray(BLOCK)) for _ in range(BUFFERS)]
    busy: list[list[Future[None]]] = [[] for _ in buffers]
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(1, "hash")) for _ in threaded]
        begin = 0
        handle.seek(0)
        for number, end in enumerate(ends):
            slot = number % BUFFERS
            _wait(busy[slot])
            block = buffers[slot][: end - begin]
            if not _fill(handle, block):
                break
            pairs = zip(pools, threaded, strict=True)
            busy[slot] = [pool.submit(consumer, begin, block) for pool, consumer in pairs]
            inline(begin, block)
            begin = end
            yield end
        for futures in busy:
            _wait(futures)


def _wait(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        future.result()


def _fill(handle: BinaryIO, block: memoryview) -> bool:
    """Read a whole block; return False if the file ends before."""
    done = 0
    while done < len(block):
        if not (count := _read_into(handle, block[done:])):
            return False
        done += count
    return True


def _read_into(handle: BinaryIO, room: memoryview) -> int:
    """Read some bytes, without a copy if the stream supports that."""
    if isinstance(handle, io.RawIOBase | io.BufferedIOBase):
        return handle.readinto(room) or 0
    piece = handle.read(min(len(room), CHUNK))
    room[: len(piece)] = piece
    return len(piece)
