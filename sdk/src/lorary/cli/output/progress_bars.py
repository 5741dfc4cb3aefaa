"""Progress bars; imports rich, which takes 0.1 s, so this module is used on terminals only."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

from lorary.cli.output.text import plain

if TYPE_CHECKING:
    from lorary.client import progress

_VERBS = {
    "hash": "Reading",
    "send": "Sending",
    "check": "Checking",
    "fetch": "Downloading",
    "render": "Rendering",
    "wait": "Waiting",
}
_WIDE = 70  # minimum columns to show bar, speed and time
_AMOUNT = 16  # width of “999.9/999.9 MB” and a gap
_MOST = 8  # lines; beyond that, finished ones are removed
_BYTES = {"hash", "send", "fetch"}


class _Amount(DownloadColumn):
    """Bytes as a size, other units as a count, and nothing if the total is unknown."""

    def render(self, task: Task) -> Text:
        if task.fields["stage"] in _BYTES:
            return super().render(task)
        return Text(f"{task.completed:.0f}/{task.total:.0f}" if task.total else "")


class _Speed(TransferSpeedColumn):
    """Bytes per second, for tasks that count bytes."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.fields["stage"] in _BYTES else Text("")


def bars() -> Progress:
    """Return an empty display on standard error, with one line per task."""
    console = Console(stderr=True)
    is_wide = console.width >= _WIDE
    room = console.width // 2 if is_wide else console.width - _AMOUNT
    shape = Column(no_wrap=True, overflow="ellipsis", max_width=max(room, 1))
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", markup=False, table_column=shape),
        _Amount(),
    ]
    if is_wide:
        columns.insert(1, BarColumn(bar_width=None))
        columns += [_Speed(), TimeRemainingColumn(compact=True)]
    return Progress(*columns, console=console, transient=True)


class Drawing:
    """Draws one bar for each stage of each file; a finished wait is removed. Thread-safe.

    The display starts with the first report, because a question may have to be asked before.
    """

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._lock = Lock()

    def __call__(self, update: progress.Progress) -> None:
        """Draw an update."""
        with self._lock:
            self._draw(update)

    def _draw(self, update: progress.Progress) -> None:
        self._shown.start()  # no effect if it is running
        key = (update.stage, update.name)
        for other in [other for other in self._tasks if other[0] == "wait" and other != key]:
            self._shown.remove_task(self._tasks.pop(other))
        total = update.total or None
        if key not in self._tasks:
            text = f"{_VERBS[update.stage]} {plain(update.name)}"
            self._tasks[key] = self._shown.add_task(text, total=total, stage=update.stage)
        self._shown.update(self._tasks[key], completed=update.done, total=total)
        if update.done == total and len(self._tasks) > _MOST:
            self._shown.remove_task(self._tasks.pop(key))

    def clear(self) -> None:
        """Remove the bars."""
        if self._tasks:
            self._shown.stop()
