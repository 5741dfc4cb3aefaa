"""Progress reports of long operations."""

from __future__ import annotations

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
