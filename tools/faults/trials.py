"""What is asked of a run, and what a scenario found."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tools.faults.servers.environment import Environment

#: Broken promises that are told one by one; the rest is counted.
SHOWN = 20


class Skipped(Exception):
    """Something that a scenario needs is not here; its text says what."""


@dataclass(frozen=True)
class Plan:
    """What is done to a hub.

    Attributes:
        seed: Of everything random but when processes get their turns.
        folder: Scratch; removed when no promise was broken.
        environment: Database, broker and storage of the hubs.
        kills: Processes ended with SIGKILL.
        most_s: Seconds after which no more of them are: a busy machine takes long to start again.
        minutes: Length of the crowd.
        is_short: Whether a small pass will do.
    """

    seed: int
    folder: Path
    environment: Environment
    kills: int
    most_s: float
    minutes: float
    is_short: bool


@dataclass
class Trial:
    """One scenario: figures in the order they were taken, and broken promises in words."""

    name: str
    numbers: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    skipped: str = ""
    seconds: float = 0.0

    def expect(self, is_kept: object, promise: str) -> bool:
        """Write down a promise that is broken; return whether it is kept."""
        if not is_kept:
            self.faults.append(promise)
        return bool(is_kept)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure how long it takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds = time.monotonic() - began

    @property
    def verdict(self) -> str:
        """Return how it went, in a few words."""
        if self.skipped:
            return f"not run: {self.skipped}"
        return f"{len(self.faults)} promises broken" if self.faults else "all promises kept"

    def lines(self) -> list[str]:
        """Return the result in words."""
        more = len(self.faults) - SHOWN
        return [
            f"{self.verdict} ({self.seconds:.0f} s)",
            *(f"{name}: {_text(value)}" for name, value in self.numbers.items()),
            *(f"BROKEN: {fault}" for fault in self.faults[:SHOWN]),
            *([f"BROKEN: and {more} more"] if more > 0 else []),
        ]

    def document(self) -> dict[str, Any]:
        """Return the result for programs."""
        return {
            "scenario": self.name,
            "seconds": round(self.seconds, 1),
            "skipped": self.skipped,
            "numbers": self.numbers,
            "faults": self.faults,
        }


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
