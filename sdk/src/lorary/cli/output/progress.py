"""Shows progress on a terminal; prints nothing otherwise."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from lorary.client.errors import Unreachable
from lorary.client.progress import OnProgress, Progress, silent

_REDRAW_S = 0.1


@contextlib.contextmanager
def meter(
    kept: Callable[[Progress], str] = lambda _: "", *, is_resumable: bool = False
) -> Iterator[OnProgress]:
    """Yield a function that draws progress on standard error, if that is a terminal.

    Args:
        kept: Returns the text to show after an interruption, given the last report.
        is_resumable: Whether to show it also if the hub does not respond.
    """
    last: list[Progress] = []

    def remember(update: Progress) -> None:
        last[:] = [update]
        draw(update)

    with _drawing() as draw:
        try:
            yield remember
        except KeyboardInterrupt as interrupt:
            text = kept(last[0]) if last else ""
            raise KeyboardInterrupt(text) from interrupt
        except Unreachable as error:
            if is_resumable and last:
                error.detail = f"{error.detail} {kept(last[0])}"
            raise


@contextlib.contextmanager
def _drawing() -> Iterator[OnProgress]:
    if not sys.stderr.isatty():
        yield silent
        return
    from lorary.cli.output.progress_bars import Drawing, bars  # noqa: PLC0415 - rich is for terminals only

    drawing = Drawing(bars())
    try:
        yield drawing
    finally:
        drawing.clear()


class Counting:
    """A counter on one line of standard error, which can be cleared for other output."""

    def __init__(self, verb: str, total: int, *, is_drawn: bool) -> None:
        self._verb = verb
        self._total = total
        self._is_drawn = is_drawn
        self._is_visible = False
        self._next_s = 0.0

    def step(self, done: int) -> None:
        """Update the count; it is drawn a few times per second at most."""
        if not self._is_drawn or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _REDRAW_S
        self._is_visible = True
        sys.stderr.write(f"\r\x1b[K{self._verb} {done:,} of {self._total:,}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Erase the line, before other output is written to the terminal."""
        if self._is_visible:
            self._is_visible = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextlib.contextmanager
def counting(verb: str, total: int) -> Iterator[Counting]:
    """Show a counter on standard error, if that is a terminal and there are several items."""
    count = Counting(verb, total, is_drawn=total > 1 and sys.stderr.isatty())
    try:
        yield count
    finally:
        count.clear()
