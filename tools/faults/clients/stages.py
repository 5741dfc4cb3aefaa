"""What clients are at, so that things can be broken in the middle of it."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter, defaultdict, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: In the order a file goes through them.
PHASES = ("announce", "part", "body", "complete", "check", "publish")
#: Lengths of a phase, in seconds, that the next ones are guessed from.
REMEMBERED = 30
GUESS_S = 0.05


class Stages:
    """Counts who is in which phase; safe to use from many threads."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.active: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.lengths: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=REMEMBERED))

    @contextmanager
    def at(self, phase: str) -> Iterator[None]:
        """Be in a phase."""
        with self.changed:
            self.active[phase] += 1
            self.begun[phase] += 1
            self.changed.notify_all()
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self._leave(phase)
            raise
        self._leave(phase, time.monotonic() - began)

    def _leave(self, phase: str, length_s: float | None = None) -> None:
        with self.changed:
            self.active[phase] -= 1
            if length_s is not None:
                self.lengths[phase].append(length_s)

    def await_one(self, phase: str, within_s: float) -> bool:
        """Wait until somebody begins a phase; False when nobody does."""
        with self.changed:
            before = self.begun[phase]
            return self.changed.wait_for(lambda: self.begun[phase] > before, within_s)

    def typical_s(self, phase: str) -> float:
        """Return how long a phase lasts when nobody disturbs it."""
        with self.changed:
            lengths = self.lengths[phase]
            return statistics.median(lengths) if lengths else GUESS_S

    def now(self) -> list[str]:
        """Return the phases that somebody is in."""
        with self.changed:
            return [phase for phase in PHASES if self.active[phase] > 0]
