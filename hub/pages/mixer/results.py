"""The pictures of a mix: one try-out, A and B, or the cells of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hub.pages.mixer import mix as mixes
from hub.pages.mixer.mix import AB, GRID, Mix
from previews.models import Tryout
from previews.renders.queue_position import QueuePosition, position_of
from previews.tryouts import selectors
from previews.tryouts.selectors import TryoutStatus

#: States with a place in the queue.
PLACED = {"queued", "running"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A try-out of a group, and what it is called there."""

    status: TryoutStatus
    label: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A group of try-outs: one mix, A and B, or a grid.

    Attributes:
        cells: In order; the rows of a grid follow each other.
        place: Position of the first unfinished one in the queue, and the time until all are done.
        columns: Strengths above a grid; empty if there is none.
        axes: Names of the adapters on its axes.
        rows: Strengths beside the grid, each with its cells.
    """

    cells: list[Cell]
    place: QueuePosition | None
    columns: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[Cell, ...]], ...] = ()

    @property
    def first(self) -> TryoutStatus:
        """The first try-out, by which the group is called."""
        return self.cells[0].status

    @property
    def current(self) -> TryoutStatus:
        """The first that is not finished, else the first that failed, else the first."""
        unfinished = (cell.status for cell in self.cells if cell.status.is_open)
        failed = (cell.status for cell in self.cells if cell.status.previews.state == "failed")
        return next(unfinished, None) or next(failed, None) or self.first

    @property
    def is_open(self) -> bool:
        """Whether one is not finished."""
        return any(cell.status.is_open for cell in self.cells)

    @property
    def done(self) -> int:
        """Steps that are done, over all pictures."""
        return sum(cell.status.done for cell in self.cells)

    @property
    def total(self) -> int:
        """Steps of all pictures."""
        return sum(cell.status.total for cell in self.cells)


def result_of(group: Sequence[Tryout], mix: Mix) -> Result:
    """Return a group as it was requested by a mix."""
    statuses = [selectors.shown(one, has_place=False) for one in group]
    unfinished = [one.tryout.render for one in statuses if one.previews.state in PLACED]
    place = position_of(unfinished[0]) if unfinished else None
    if place is not None and len(unfinished) > 1:
        place = replace(place, left_s=position_of(unfinished[-1]).left_s)
    labels = ("A", "B") if mix.mode == AB and len(group) > 1 else ("",) * len(group)
    cells = [Cell(status, label) for status, label in zip(statuses, labels, strict=True)]
    if mix.mode != GRID:
        return Result(cells, place)
    axes = mix.axes
    columns = tuple(map(mixes.written, mix.axis(0)))
    beside = tuple(map(mixes.written, mix.axis(1))) if len(axes) > 1 else ("",)
    wide = len(columns)
    rows = tuple(
        (text, tuple(cells[at * wide : (at + 1) * wide])) for at, text in enumerate(beside)
    )
    return Result(cells, place, columns, axes, rows)
