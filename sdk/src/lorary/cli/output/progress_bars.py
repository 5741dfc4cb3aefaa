"""Bars of what is under way; imports rich, which takes 0.1 s, so only terminals come here."""

from __future__ import annotations

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
    "fetch": "Fetching",
    "render": "Rendering",
    "wait": "Waiting",
}
_WIDE = 70  # columns from which on there is room for bar, speed and time
_AMOUNT = 16  # columns of “999.9/999.9 MB”, and a gap
_BYTES = {"hash", "send", "fetch"}


class _Amount(DownloadColumn):
    """Bytes as bytes, other things as a count, and nothing of what nobody can count."""

    def render(self, task: Task) -> Text:
        if task.fields["stage"] in _BYTES:
            return super().render(task)
        return Text(f"{task.completed:.0f}/{task.total:.0f}" if task.total else "")


class _Speed(TransferSpeedColumn):
    """Bytes a second, where it is bytes."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.fields["stage"] in _BYTES else Text("")


def bars() -> Progress:
    """Return an empty display on standard error, of one line for each thing."""
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
    """Draws one bar for each thing that is done to each file, and none of a wait that is over.

    The terminal is left alone until there is something to draw: a question may come before.
    """

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __call__(self, update: progress.Progress) -> None:
        """Draw an update."""
        self._shown.start()  # nothing where it was
        key = (update.stage, update.name)
        for other in [other for other in self._tasks if other[0] == "wait" and other != key]:
            self._shown.remove_task(self._tasks.pop(other))
        total = update.total or None
        if key not in self._tasks:
            text = f"{_VERBS[update.stage]} {plain(update.name)}"
            self._tasks[key] = self._shown.add_task(text, total=total, stage=update.stage)
        self._shown.update(self._tasks[key], completed=update.done, total=total)

    def clear(self) -> None:
        """Take the bars away."""
        if self._tasks:
            self._shown.stop()
