"""Runs transfers in several threads that end soon after an interruption."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

from lorary.client.errors import LoraryError
from lorary.client.progress import OnProgress, Progress
from lorary.limits import JOBS, MAX_JOBS

T = TypeVar("T")
R = TypeVar("R")


class _Stopped(Exception):
    """The caller has stopped; raised in the threads by their next progress report."""


def each(
    items: Sequence[T],
    work: Callable[[T, OnProgress], R],
    *,
    on_progress: OnProgress,
    jobs: int = JOBS,
    abort: Callable[[], None] = lambda: None,
) -> Iterator[tuple[T, R | LoraryError]]:
    """Do the work for each item, and yield item and result as they are finished.

    A LoraryError is a result. Any other exception, or the end of the iteration, stops the other
    items at their next progress report.

    Args:
        items: The items.
        work: Called in a thread with an item and the function to report progress to.
        on_progress: Called by the threads.
        jobs: Number of threads, at most ``MAX_JOBS``.
        abort: Called if the work is stopped early, to end requests that wait for a response.
    """
    stop = threading.Event()

    def report(progress: Progress) -> None:
        if stop.is_set():
            raise _Stopped
        on_progress(progress)

    def attempt(item: T) -> R | LoraryError:
        try:
            return work(item, report)
        except LoraryError as error:
            return error

    if not items:
        return
    with ThreadPoolExecutor(max(1, min(jobs, MAX_JOBS, len(items))), "lorary") as pool:
        waiting: dict[Future[R | LoraryError], T] = {
            pool.submit(attempt, item): item for item in items
        }
        try:
            for job in as_completed(waiting):
                yield waiting.pop(job), job.result()
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            if not all(job.done() for job in waiting):
                abort()
