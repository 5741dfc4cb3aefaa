"""Help texts, progress and lists of problems of management commands."""

from __future__ import annotations

import sys
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence

from django.core.management.base import DjangoHelpFormatter

from hub.plurals import counted, size_text
from registry.blobs.migrate_store import Tally


class Help(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Keeps line breaks of description and epilog; Django's own options come last."""


#: Seconds between two lines of progress, on a terminal and in a log.
TERMINAL_S, LOG_S = 0.2, 30.0
#: Number of objects between two lines of progress in a log.
STEP = 500
#: The same for quick work on all adapters.
LARGE_STEP = 10_000
#: Number of entries that are listed; others are only counted.
NAMED = 10


class Meter:
    """Reports progress in files and bytes on stderr, at intervals."""

    def __init__(self, verb: str, *, is_quiet: bool = False) -> None:
        self.verb, self.is_quiet = verb, is_quiet
        self._last, self._has_line = time.monotonic(), False

    def __call__(self, files: int, size: int) -> None:
        """Report progress if the interval is over."""
        is_terminal = sys.stderr.isatty()
        now = time.monotonic()
        if self.is_quiet or now - self._last < (TERMINAL_S if is_terminal else LOG_S):
            return
        self._last = now
        line = f"{counted(files, 'file')}, {size_text(size)} {self.verb}"
        if is_terminal:
            self._has_line = True
            sys.stderr.write(f"\r\033[K{line}")
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Clear the line of progress on a terminal."""
        if self._has_line:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def report_step(what: str, done: int, total: int, *, step: int = STEP) -> None:
    """Report progress in a number of objects: each on a terminal, every ``step`` in a log."""
    text = f"{done:,} of {total:,} {what}"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text}" + ("\n" if done == total else ""))
    elif done % step == 0:
        sys.stderr.write(f"{text}\n")


#: Advice for lost files.
MEND = "restore them from a backup (manage.py storage mend --from URL)"
#: Descriptions after a number of files, for the hub's own store.
MISSING = f"missing; {MEND}"
DAMAGED = f"damaged; {MEND}"


def problem_lines(
    tally: Tally,
    *,
    missing: str = MISSING,
    damaged: str = DAMAGED,
    failed: str = "failed; run it again",
) -> Iterator[str]:
    """Yield lines that list missing, damaged and failed files.

    Args:
        missing: Description of missing files; the default is for the hub's own store.
    """
    yield from listed(tally.missing, missing, noun="file")
    yield from listed(tally.damaged, damaged, noun="file")
    reasons = [f"{sha256}: {reason}" for sha256, reason in tally.failed.items()]
    yield from listed(reasons, failed, noun="file")


def listed(lines: Sequence[str], what: str, *, noun: str) -> Iterator[str]:
    """Yield a line with the number of entries, and the first of them."""
    if lines:
        yield f"{counted(len(lines), noun)} {what}:"
        yield from (f"  {line}" for line in lines[:NAMED])
