"""Bytes that wait on this machine's disk until they can be sent on.

What is sent to a bucket has to be whole first: its length is announced, a request that broke is
repeated from the start, and what turns out to be damaged never leaves. Memory stays constant; a
file without a name is gone with its process.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from django.conf import settings

from registry.storage.base import refusing_when_full

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["PIECE", "Spool", "pieces_of", "spooled"]

#: Least size of the pieces that a file of unknown length is sent in. Every thousandth makes them
#: longer, so that 10,000 of them hold more than the largest file.
PIECE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Spool:
    """Bytes at rest; ``size`` says how many."""

    file: BinaryIO
    size: int


@contextmanager
def spooled(chunks: Iterable[bytes]) -> Iterator[Spool]:
    """Keep all chunks while the block runs."""
    with _file() as file:
        with refusing_when_full():
            for chunk in chunks:
                file.write(chunk)
            size = file.tell()
            file.seek(0)
        yield Spool(file, size)


def pieces_of(chunks: Iterable[bytes]) -> Iterator[tuple[Spool, bool]]:
    """Yield the chunks in pieces, one at a time, each with whether it is the last.

    There is at least one, and only the last may be shorter than ``PIECE``.
    """
    source, number, is_last = iter(chunks), 0, False
    ahead = next(source, b"")
    while not is_last:
        with _file() as file:
            with refusing_when_full():
                wanted = PIECE * (1 + number // 1000)
                while ahead and file.tell() < wanted:
                    file.write(ahead)
                    ahead = next(source, b"")
                size = file.tell()
                file.seek(0)
            number, is_last = number + 1, not ahead
            yield Spool(file, size), is_last


def _file() -> BinaryIO:
    """Return a new file without a name."""
    return cast("BinaryIO", tempfile.TemporaryFile(dir=settings.LORARY.data))
