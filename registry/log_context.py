"""What the current code works for: a request, a job, or both, for log lines, events and new jobs.

A request sets its id, ``enqueue`` stores it with the job, and the worker sets both while it runs
the job. Threads that other code starts have no context, nor has a command.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class LogContext:
    """The id of a request and of a job; empty and 0 outside of them.

    Attributes:
        trace_parent: The span of the request (W3C Trace Context), where requests are traced.
        source: The ``Source`` of events; empty for a command.
        worker: Name of the worker.
        address: Network address of the client.
    """

    request_id: str = ""
    job_id: int = 0
    trace_parent: str = ""
    source: str = ""
    worker: str = ""
    address: str = ""


_EMPTY = LogContext()
_CURRENT: ContextVar[LogContext] = ContextVar("log_context", default=_EMPTY)


def current() -> LogContext:
    """Return the context of the running code."""
    return _CURRENT.get()


def request_id() -> str:
    """Return the id of the current request, or of the one that enqueued the current job; or ""."""
    return _CURRENT.get().request_id


def enter(context: LogContext) -> None:
    """Set the context, until ``leave``."""
    _CURRENT.set(context)


def leave() -> None:
    """Clear the context."""
    _CURRENT.set(_EMPTY)


@contextmanager
def within(context: LogContext) -> Iterator[None]:
    """Set the context for a block."""
    token = _CURRENT.set(context)
    try:
        yield
    finally:
        _CURRENT.reset(token)
