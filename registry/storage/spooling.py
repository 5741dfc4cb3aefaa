"""Spools bytes to a local disk before they are sent to a bucket.

A bucket needs the length in advance, failed requests are repeated from the start, and damaged
uploads must not be sent. So the bytes must be complete first. Memory use is constant; an unnamed
file disappears with its process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from django.conf import settings

from registry.storage.base import refuse_when_full

#: Minimum size of the pieces of a file of unknown length. They grow with every thousandth piece,
#: so that 10,000 of them are enough for the largest file.
PIECE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Spool:
    """Spooled bytes and their number."""

    file: BinaryIO
    size: int


@contextmanager
def spooled(chunks: Iterable[bytes]) -> Iterator[Spool]:
    """Spool all chunks for the duration of the block."""
    with _file() as file:
        with refuse_when_full():
            for chunk in chunks:
                file.write(chunk)
            size = file.tell()
            file.seek(0)
        yield Spool(file, size)


def pieces_of(chunks: Iterable[bytes]) -> Iterator[tuple[Spool, bool]]:
    """Yield the chunks in pieces, each with whether it is the last.

    There is at least one piece, and only the last may be shorter than ``PIECE``.
    """
    source, number, is_last = iter(chunks), 0, False
    ahead = next(source, b"")
    while not is_last:
        with _file() as file:
            with refuse_when_full():
                wanted = PIECE * (1 + number // 1000)
                while ahead and file.tell() < wanted:
                    file.write(ahead)
                    ahead = next(source, b"")
                size = file.tell()
                file.seek(0)
            number, is_last = number + 1, not ahead
            yield Spool(file, size), is_last


def _file() -> BinaryIO:
    """Return a new unnamed file."""
    return cast("BinaryIO", tempfile.TemporaryFile(dir=settings.LORARY.data))
