"""What a long operation reports while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["hash", "send", "check", "fetch", "render", "wait"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One report.

    Attributes:
        stage: What is being done; ``hash``, ``send`` and ``fetch`` count bytes, ``check`` and
            ``render`` whatever the hub counts, ``wait`` nothing.
        name: The file or version it is done to; what is waited for.
        done: How much is done.
        total: How much there is; 0 while unknown.
    """

    stage: Stage
    name: str
    done: int
    total: int


OnProgress = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """Report to nobody."""
