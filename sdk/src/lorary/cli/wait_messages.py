"""What the client logs while it waits, as lines on standard error."""

from __future__ import annotations

import logging

from lorary.cli.output import note, plain

__all__ = ["show"]


class _Lines(logging.Handler):
    """Writes each record as a note."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        note(f"lorary: {plain(record.getMessage())}")


def show() -> None:
    """Write what the client logs of level INFO and above."""
    log = logging.getLogger("lorary")
    log.handlers, log.propagate = [_Lines()], False
    log.setLevel(logging.INFO)
