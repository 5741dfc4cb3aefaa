"""Rows that an answer speaks of are on the disk before the answer leaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.db import connection

from registry.durable import flush

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = ["FlushMiddleware"]

READING = {"GET", "HEAD", "OPTIONS"}


class FlushMiddleware:
    """Flushes SQLite's log once for each request that may have written.

    With ``synchronous=NORMAL`` a commit is in the log and the log in memory of the system, which
    outlives a kill and not a power failure (https://www.sqlite.org/pragma.html#pragma_synchronous).
    One flush before the answer makes every commit up to then last, at the price of one, while
    workers, whose rows are found again, pay nothing. PostgreSQL flushes by itself.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._named = 0  # the log whose entry in its folder was flushed

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the answer once it may be believed."""
        response = self.get_response(request)
        if request.method not in READING and connection.vendor == "sqlite":
            self._flush(Path(f"{connection.settings_dict['NAME']}-wal"))
        return response

    def _flush(self, log: Path) -> None:
        try:
            inode = flush(log)
        except FileNotFoundError:  # all of it is in the database: whoever removed it flushed that
            return
        if inode != self._named:
            flush(log.parent)
            self._named = inode
