"""The work of a worker process after each wake-up."""

from __future__ import annotations

import logging
import math
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection, transaction

from registry import hooks, log_context, sweep
from registry.jobs import queue, workers
from registry.jobs import selectors as job_selectors
from registry.jobs.identity import worker_name
from registry.log_context import LogContext
from registry.models import JobState, Source, WorkerWish
from registry.uploads import services as uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from registry.models import Job

#: Seconds between two searches for work without a wake-up, and between two heartbeats.
POLL_S = 5.0

#: Seconds between two deletions of unreferenced rows and bytes, by any worker of the hub, and
#: between two questions whether it is time for one.
CLEAN_S, ASK_S = 3600.0, 60.0

log = logging.getLogger(__name__)

#: Queues that this process serves; empty outside of workers.
_SERVED: list[str] = []
#: Set while this process runs a job.
_AT_WORK = threading.Event()


def wake(name: str) -> int:
    """Run the claimable jobs of all queues of this process; return their number."""
    return drain(*(_SERVED or [name]))


def look() -> None:
    """Run the claimable jobs of this process without a wake-up; an error only ends this look."""
    try:
        if _SERVED and queue.next_queue(_SERVED):
            drain(*_SERVED)
    except DatabaseError as error:
        log.warning("jobs not looked for: %s", error)
    finally:
        close_old_connections()


def drain(*queues: str) -> int:
    """Run all claimable jobs of these queues, the most urgent first; return their number.

    It returns early if the operator wants this worker to pause or to exit.
    """
    count, last, may_work = 0, "", workers.may_work()
    while may_work and (job := queue.claim(*queues, after=last)):
        _AT_WORK.set()
        try:
            with ExitStack() as stack:
                context = LogContext(
                    job.request_id, job.pk, job.trace_parent, Source.WORKER, worker_name()
                )
                stack.enter_context(log_context.within(context))
                for span_of in hooks.job_spans:
                    stack.enter_context(span_of(job))
                _run(job, queues)
        finally:
            _AT_WORK.clear()
        count, last, may_work = count + 1, job.queue, workers.count_job()
    return count


def _run(job: Job, queues: tuple[str, ...] = ()) -> None:
    try:
        handler = queue.handler_of(job.task)
    except KeyError:  # during an update: a worker of the next release has it
        reason = f"{job_selectors.UNKNOWN} {job.task}"
        queue.finish(
            job, state=JobState.QUEUED, reason=reason, retry_after_s=POLL_S, is_attempt=False
        )
        return
    if job.attempt > job.max_attempts:
        _close_failed(job, f"gave up after {job.max_attempts} attempts")
        return
    try:
        with _Heartbeat(job, handler.limit_s(job) if handler.limit_s else math.inf):
            handler.run(queue.JobRun(job, queues))
    except queue.Retry as retry:
        queue.finish(
            job,
            state=JobState.QUEUED,
            reason=str(retry),
            retry_after_s=retry.after_s,
            is_attempt=retry.is_attempt,
        )
    except queue.Cancelled:
        queue.finish(job, state=JobState.CANCELLED)
    except queue.LeaseLost:
        log.warning("job %s (%s) was taken over by another worker", job.pk, job.task)
    except queue.Fail as reason:
        _close_failed(job, str(reason))
    except Exception as error:  # one failing job must not stop the worker
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
    """End the job and its subject in one transaction."""
    with transaction.atomic():
        if not queue.finish(job, state=JobState.FAILED, reason=reason):
            return
        job.reason = reason
        on_failed = queue.handler_of(job.task).on_failed
        if on_failed is not None:
            on_failed(job)


class _Heartbeat:
    """Renews a job's lease from a thread while its handler runs, within its time limit.

    A handler that hangs, for example on a disk, loses its job to another worker.
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
                    log.error("job %s exceeds its time limit; its lease ends", self.job.pk)
                    return
                try:
                    is_mine = queue.renew(self.job)
                except DatabaseError as error:  # busy or unreachable: the next beat may be in time
                    log.warning("lease of job %s not renewed: %s", self.job.pk, error)
                    continue
                if not is_mine:
                    log.warning("lease of job %s was lost", self.job.pk)
                    return
        finally:
            connection.close()


class Poller(threading.Thread):
    """Sends heartbeats of this worker, and wakes it for work without a message."""

    def __init__(
        self,
        queues: Iterable[str],
        *,
        facts: Callable[[], dict[str, Any]] = dict,
        on_drain: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare the thread.

        Args:
            queues: Queues of this process.
            facts: Returns what this process reports about itself.
            on_drain: Called repeatedly while this process should exit and runs no job.
        """
        super().__init__(name="poller", daemon=True)
        self.queues = list(queues)
        self.facts, self.on_drain = facts, on_drain
        self.stopping = threading.Event()

    def run(self) -> None:
        """Check immediately, then every few seconds, until stopped."""
        _SERVED[:] = self.queues
        is_for_hub = uploads.CHECKS_QUEUE in self.queues  # the workers of one queue are sufficient
        Cleaner(self.stopping, is_for_hub=is_for_hub).start()
        self._check()
        while not self.stopping.wait(POLL_S):
            self._check()

    def end(self) -> None:
        """Stop, and delete this worker's row."""
        self.stopping.set()
        if self.is_alive():
            self.join()
        workers.leave()

    def _check(self) -> None:
        try:
            if not workers.beat():
                workers.register(queues=self.queues, facts=self.facts())
            queue.release_dead()
            workers.drop_gone()
            if not _AT_WORK.is_set():
                self._obey(workers.requested_state())
        except Exception:  # an unreachable database must not end the thread
            log.exception("polling failed")
        finally:
            close_old_connections()

    def _obey(self, wish: str) -> None:
        """Wake this idle worker if there is work, or stop it."""
        if wish == WorkerWish.DRAIN:
            self.on_drain()
        elif wish == WorkerWish.WORK and (name := queue.next_queue(self.queues)):
            queue.wake(name)


class Cleaner(threading.Thread):
    """Deletes what is no longer needed, every hour: what this machine left, and the hub's bytes.

    Of all workers that sweep the hub, one does each hour. It is a separate thread, because a sweep
    of a large store takes minutes and the worker must send heartbeats. A sweep can be interrupted
    at any time, so nothing waits for its end.
    """

    def __init__(self, stopping: threading.Event, *, is_for_hub: bool = True) -> None:
        super().__init__(name="cleaner", daemon=True)
        self.stopping, self.is_for_hub = stopping, is_for_hub

    def run(self) -> None:
        """Ask soon after the start, then every minute, until stopped."""
        pause_s, here_at = POLL_S, 0.0
        context = LogContext(source=Source.WORKER, worker=worker_name())
        while not self.stopping.wait(pause_s):
            pause_s = ASK_S
            try:
                with log_context.within(context):
                    if time.monotonic() >= here_at:
                        here_at = time.monotonic() + CLEAN_S
                        sweep.run_here()
                    if self.is_for_hub and (swept := sweep.run_alone(rest_s=CLEAN_S)):
                        log.info("swept: %s", swept)
            except Exception:  # the database or store may become available again
                log.exception("sweep failed")
            finally:
                connection.close()
