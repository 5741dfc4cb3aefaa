"""Progress on a terminal, silence elsewhere."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from lorary.cli.output import plain
from lorary.client.progress import OnProgress, Progress, silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

__all__ = ["meter"]

_VERBS = {
    "hash": "Reading",
    "send": "Sending",
    "check": "Checking",
    "fetch": "Fetching",
    "render": "Rendering",
}


@contextlib.contextmanager
def meter() -> Iterator[OnProgress]:
    """Give a function that draws what it is told on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console  # noqa: PLC0415 - takes 0.1 s, and only terminals need it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars  # noqa: PLC0415

    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    )
    with bars:
        yield _Drawing(bars)


class _Drawing:
    """Draws one bar for each thing that is done to each file."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        key = (progress.stage, progress.name)
        task = self._tasks.get(key)
        if task is None:
            text = f"{_VERBS[progress.stage]} {plain(progress.name)}"
            task = self._tasks[key] = self._bars.add_task(text, total=progress.total or None)
        self._bars.update(task, completed=progress.done, total=progress.total or None)
