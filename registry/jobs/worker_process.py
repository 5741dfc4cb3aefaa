"""What a worker process does between two wake-ups."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection, transaction

from registry import sweep
from registry.jobs import queue, workers
from registry.jobs import selectors as job_selectors
from registry.models import JobState, WorkerWish
from registry.uploads import services as uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from registry.models import Job

__all__ = ["Cleaner", "Sweeper", "drain", "wake"]

#: Seconds between two looks for work that no wake-up announced; a worker shows itself as often.
SWEEP_S = 5.0

#: Seconds between two removals of what nobody refers to.
CLEAN_S = 3600.0

log = logging.getLogger(__name__)

#: Queues that this process serves, empty outside of workers.
_SERVED: list[str] = []
#: Set while this process is at a job.
_AT_WORK = threading.Event()


def wake(name: str) -> int:
    """Do what is claimable, in whatever queue of this process; returns how many jobs were run."""
    return drain(*(_SERVED or [name]))


def drain(*queues: str) -> int:
    """Run every claimable job of these queues, the most urgent first; returns how many were run.

    It ends early when the operator wants this worker to pause or to end.
    """
    count, last = 0, ""
    while workers.wish() == WorkerWish.WORK and (job := queue.claim(*queues, after=last)):
        _AT_WORK.set()
        try:
            _run(job)
        finally:
            _AT_WORK.clear()
        workers.count_job()
        count, last = count + 1, job.queue
    return count


def _run(job: Job) -> None:
    try:
        handler = queue.handler_of(job.task)
    except KeyError:  # during an update; a worker of the next release knows it
        reason = f"{job_selectors.UNKNOWN} {job.task}"
        queue.finish(
            job, state=JobState.QUEUED, reason=reason, retry_after_s=SWEEP_S, is_attempt=False
        )
        return
    if job.attempt > job.max_attempts:
        _close_failed(job, f"given up after {job.max_attempts} attempts")
        return
    try:
        with _Heartbeat(job, handler.limit_s(job) if handler.limit_s else math.inf):
            handler.run(queue.JobRun(job))
    except queue.Retry as trouble:
        queue.finish(
            job,
            state=JobState.QUEUED,
            reason=str(trouble),
            retry_after_s=trouble.after_s,
            is_attempt=trouble.is_attempt,
        )
    except queue.Cancelled:
        queue.finish(job, state=JobState.CANCELLED)
    except queue.Fail as reason:
        _close_failed(job, str(reason))
    except Exception as error:  # process edge: one bad job must not stop the worker
        log.exception("job %s (%s) failed", job.pk, job.task)
        _retry_or_fail(job, error, is_over=not isinstance(error, handler.transient))
    else:
        queue.finish(job, state=JobState.DONE)


def _retry_or_fail(job: Job, error: Exception, *, is_over: bool) -> None:
    reason = f"{type(error).__name__}: {error}"
    if is_over or job.attempt >= job.max_attempts:
        _close_failed(job, reason)
    else:
        queue.finish(job, state=JobState.QUEUED, reason=reason, retry_after_s=2.0**job.attempt)


def _close_failed(job: Job, reason: str) -> None:
    """End the job and its subject together: a kill in between must not leave one of them open."""
    with transaction.atomic():
        if not queue.finish(job, state=JobState.FAILED, reason=reason):
            return
        job.reason = reason
        on_failed = queue.handler_of(job.task).on_failed
        if on_failed is not None:
            on_failed(job)


class _Heartbeat:
    """Renews a job's lease from a thread while its handler works, within its time.

    A handler that hangs, as on a disk that does not answer, loses its job to another worker.
    """

    def __init__(self, job: Job, limit_s: float) -> None:
        self.job = job
        self.until = time.monotonic() + limit_s
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _beat(self) -> None:
        try:
            while not self.stop.wait(settings.LORARY.job_lease_s / 3):
                if time.monotonic() > self.until:
                    log.error("job %s takes longer than it may; its lease ends", self.job.pk)
                    return
                try:
                    is_mine = queue.renew(self.job)
                except DatabaseError as error:  # busy or away: the next beat may still be in time
                    log.warning("lease of job %s not renewed: %s", self.job.pk, error)
                    continue
                if not is_mine:
                    log.warning("lease of job %s was lost", self.job.pk)
                    return
        finally:
            connection.close()


class Sweeper(threading.Thread):
    """Shows that this worker lives, and wakes it for work that no message announced."""

    def __init__(
        self,
        queues: Iterable[str],
        *,
        facts: Callable[[], dict[str, Any]] = dict,
        on_drain: Callable[[], object] = lambda: None,
    ) -> None:
        """Serve queues.

        Args:
            queues: What this process serves.
            facts: Returns what it tells of itself.
            on_drain: Called, again and again, while it should end and is at no job.
        """
        super().__init__(name="sweeper", daemon=True)
        self.queues = list(queues)
        self.facts, self.on_drain = facts, on_drain
        self.stopping = threading.Event()

    def run(self) -> None:
        """Look at once, then every few seconds, until stopped."""
        _SERVED[:] = self.queues
        if uploads.CHECKS_QUEUE in self.queues:  # one queue's worker is enough for that
            Cleaner(self.stopping).start()
        self._look()
        while not self.stopping.wait(SWEEP_S):
            self._look()

    def end(self) -> None:
        """Stop looking, and remove this worker's row: it ends politely."""
        self.stopping.set()
        if self.is_alive():
            self.join()
        workers.leave()

    def _look(self) -> None:
        try:
            if not workers.beat():
                workers.announce(queues=self.queues, facts=self.facts())
            queue.release_dead()
            workers.drop_gone()
            if not _AT_WORK.is_set():
                self._obey(workers.wish())
        except Exception:  # process edge: a database that is away must not end the sweeping
            log.exception("sweep failed")
        finally:
            close_old_connections()

    def _obey(self, wish: str) -> None:
        """Wake this idle worker when there is work, or end it."""
        if wish == WorkerWish.DRAIN:
            self.on_drain()
        elif wish == WorkerWish.WORK and (name := queue.next_queue(self.queues)):
            queue.wake(name)


class Cleaner(threading.Thread):
    """Deletes unreferenced rows and bytes every hour, for as long as that takes.

    It is a thread of its own, since a sweep of a large store takes minutes and the worker has to
    show itself every few seconds. A sweep can be cut off anywhere, so nobody waits for its end.
    """

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__(name="cleaner", daemon=True)
        self.stopping = stopping

    def run(self) -> None:
        """Sweep soon after the start, then every hour, until stopped."""
        pause_s = SWEEP_S
        while not self.stopping.wait(pause_s):
            pause_s = CLEAN_S
            try:
                log.info("swept: %s", sweep.run())
            except Exception:  # process edge: the next sweep may find the database or store back
                log.exception("sweep failed")
            finally:
                connection.close()
