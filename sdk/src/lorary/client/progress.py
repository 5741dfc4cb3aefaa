"""Progress reports of long operations.

Every call that takes a while accepts ``on_progress``, a function that gets a `Progress`:

* It is called after each block (at most 1 MiB), and in a wait at least once each poll.
* ``done`` may fall, when a transfer starts again; the last report of a file has ``done == total``.
* It may be called from several threads, one call at a time for each file. With `AsyncHub` it is
  called in the event loop.
* An exception that it raises ends the operation and reaches the caller. What was received stays, so
  that the next run continues there.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["hash", "send", "check", "fetch", "render", "wait"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One report.

    Attributes:
        stage: The current activity; ``hash``, ``send`` and ``fetch`` count bytes, ``check`` and
            ``render`` use the hub's units, ``wait`` counts nothing.
        name: The file or version being processed, or what is being waited for.
        done: Amount done.
        total: Total amount; 0 while unknown.
    """

    stage: Stage
    name: str
    done: int
    total: int


#: A function that is called with each report; the text of this module says when.
OnProgress = Callable[[Progress], None]


class _Silent:
    """Ignores reports; signatures show its name instead of an address."""

    def __call__(self, _progress: Progress) -> None:
        """Ignore a report."""

    def __repr__(self) -> str:
        return "silent"


silent: OnProgress = _Silent()
"""Ignores every report."""


class Total:
    """Reports the bytes of several files that are hashed at the same time as one progress."""

    def __init__(self, name: str, size_bytes: int, on_progress: OnProgress) -> None:
        self._name = name
        self._size_bytes = size_bytes
        self._on_progress = on_progress
        self._done = 0
        self._lock = threading.Lock()

    def part(self) -> OnProgress:
        """Return the function that one file reports to."""
        before = 0

        def report(update: Progress) -> None:
            nonlocal before
            with self._lock:
                self._done += update.done - before
                before = update.done
                self._on_progress(Progress("hash", self._name, self._done, self._size_bytes))

        return report


def together(draw: OnProgress, count: int) -> OnProgress:
    """Return a function that draws the progress of several files as one."""
    if count <= 1:
        return draw
    seen: dict[tuple[str, str], Progress] = {}
    sums: Counter[str] = Counter()
    lock = threading.Lock()

    def report(update: Progress) -> None:
        key = (update.stage, update.name)
        with lock:
            before = seen.get(key, Progress(update.stage, update.name, 0, 0))
            seen[key] = update
            sums[f"{update.stage} done"] += update.done - before.done
            sums[f"{update.stage} total"] += update.total - before.total
            done, total = sums[f"{update.stage} done"], sums[f"{update.stage} total"]
        draw(Progress(update.stage, "files", done, total))

    return report
