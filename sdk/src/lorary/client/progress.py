"""Progress reports of long operations."""

from __future__ import annotations

import threading
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


OnProgress = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """Ignore a report."""


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
