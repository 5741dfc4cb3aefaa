"""Calls that run in threads and can be cancelled from the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

from lorary.client.progress import OnProgress, Progress, silent

T = TypeVar("T")


class Stopped(Exception):
    """The call was cancelled; raised in its thread, at its next report."""


class Call:
    """One call in a thread.

    Args:
        pool: The threads.
        on_progress: The caller's function; it is called in the event loop.
    """

    def __init__(self, pool: ThreadPoolExecutor, on_progress: OnProgress = silent) -> None:
        self._pool = pool
        self._on_progress = on_progress
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._failure: Exception | None = None

    def report(self, update: Progress) -> None:
        """Hand a report to the event loop; called in the thread. Raises Stopped: cancelled."""
        if self._stop.is_set():
            raise Stopped
        if self._on_progress is not silent:
            self._loop.call_soon_threadsafe(self._deliver, update)

    def stop(self) -> None:
        """End the call at its next report."""
        self._stop.set()

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns in a thread; a cancellation stops it.

        Raises:
            Exception: what ``work`` or the caller's ``on_progress`` raised.
        """
        try:
            result = await asyncio.wrap_future(self._pool.submit(work))
        except Stopped:
            if self._failure is None:  # the hub was closed
                raise asyncio.CancelledError from None
        except asyncio.CancelledError:
            self.stop()
            raise
        if self._failure is not None:
            raise self._failure
        return result

    def _deliver(self, update: Progress) -> None:
        if self._stop.is_set():
            return
        try:
            self._on_progress(update)
        except Exception as error:  # noqa: BLE001 - it is raised where the call is awaited
            self._failure = error
            self.stop()


class Steps(Generic[T]):
    """An iterator of which one thread at a time takes the next item."""

    def __init__(self, iterator: Iterator[T]) -> None:
        self._iterator = iterator
        self._lock = threading.Lock()

    def next(self) -> T | None:
        """Return the next item; None after the last."""
        with self._lock:
            return next(self._iterator, None)

    def close(self, pool: ThreadPoolExecutor) -> None:
        """Have a thread end the iterator, after the item that is being taken."""
        with suppress(RuntimeError):  # the threads have ended
            pool.submit(self._close)

    def _close(self) -> None:
        with self._lock:
            close = getattr(self._iterator, "close", None)
            if close is not None:
                close()
