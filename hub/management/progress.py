"""Help texts of commands, and how far a command is, on a terminal and in a log."""

from __future__ import annotations

import sys
import time
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from django.core.management.base import DjangoHelpFormatter

from hub.plurals import counted, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registry.blobs.migrate_store import Tally


class Help(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Keeps line breaks of description and epilogue; Django's own options come last."""


#: Seconds between two lines, where one overwrites the other and where it cannot.
TERMINAL_S, LOG_S = 0.2, 30.0
#: Lines that are written out before the rest is only counted.
NAMED = 10


class Meter:
    """Says how many files and bytes are done, on stderr, now and then."""

    def __init__(self, verb: str, *, is_quiet: bool = False) -> None:
        self.verb, self.is_quiet = verb, is_quiet
        self._last, self._has_line = time.monotonic(), False

    def __call__(self, files: int, size: int) -> None:
        """Tell it if it is time to."""
        is_terminal = sys.stderr.isatty()
        now = time.monotonic()
        if self.is_quiet or now - self._last < (TERMINAL_S if is_terminal else LOG_S):
            return
        self._last = now
        said = f"{counted(files, 'file')}, {size_text(size)} {self.verb}"
        if is_terminal:
            self._has_line = True
            sys.stderr.write(f"\r\033[K{said}")
        else:
            sys.stderr.write(f"{said}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the terminal with a line of its own."""
        if self._has_line:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


#: What to do about files that are lost.
MEND = "to be brought from a backup (manage.py storage mend --from URL)"
#: What is told of files, behind their number, where the store is the hub's.
MISSING = f"missing, {MEND}"
DAMAGED = f"with other bytes than the name says, {MEND}"


def amiss(
    told: Tally,
    *,
    missing: str = MISSING,
    damaged: str = DAMAGED,
    failed: str = "failed; run it again",
) -> Iterator[str]:
    """Yield lines that say what is wrong with which files; by itself, of the hub's own store.

    Args:
        told: What became of files.
        missing: What is told of those that are not there.
        damaged: What is told of those with other bytes.
        failed: What is told of those that a store refused.
    """
    yield from listed(told.missing, missing, noun="file")
    yield from listed(told.damaged, damaged, noun="file")
    reasons = [f"{sha256}: {reason}" for sha256, reason in told.failed.items()]
    yield from listed(reasons, failed, noun="file")


def listed(lines: Sequence[str], what: str, *, noun: str) -> Iterator[str]:
    """Yield how many there are of something, and the first of them."""
    if lines:
        yield f"{counted(len(lines), noun)} {what}:"
        yield from (f"  {line}" for line in lines[:NAMED])
