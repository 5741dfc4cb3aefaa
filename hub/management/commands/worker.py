"""``manage.py worker``: runs a worker process for each kind of work."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import warnings
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from celery.apps.worker import Worker
from celery.exceptions import SecurityWarning, WorkerShutdown
from celery.worker import state
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from hub.celery import app
from hub.celery_consumer import LookingConsumer
from hub.management import options
from hub.monitoring import tracing
from hub.operations import process_lock, supervisor
from hub.operations.supervisor import Supervisor
from hub.setting_checks import TAG
from previews import worker_bases
from previews.render import BasesInvalid
from registry.jobs import identity, queue
from registry.jobs.worker_process import Poller

log = logging.getLogger(__name__)

#: Python's default number of new objects between two collections; ``manage.py`` changes it.
COLLECTED_AT = 700
#: The first reason for which this process ends; "" while it runs.
_reason = ""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Command(BaseCommand):
    help = "Run only workers, for example on a machine with a GPU."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queues",
            type=options.queues,
            default=supervisor.DEFAULT_QUEUES,
            help="comma-separated; “render” is every family of the bases file, “render.sdxl” one",
        )

    def handle(self, *_args: str, **options: Any) -> None:
        """Run one kind of work in this process, or supervise a process for each of several."""
        groups = supervisor.groups_of(options["queues"])
        if not groups:
            message = "Name at least one queue."
            raise CommandError(message)
        if len(groups) == 1:
            _enter()
            sys.exit(_work(groups[0], _queues_of(groups[0])))
        connections.close_all()
        sys.exit(Supervisor(supervisor.workers(options["queues"]), say=self.stderr.write).run())


def _enter() -> None:
    try:
        process_lock.hold()
    except process_lock.Busy as error:
        raise CommandError(str(error)) from error
    # All code but that of the engine is loaded. Jobs get the collector's usual threshold back, or
    # garbage of large arrays would stay for longer.
    gc.freeze()
    gc.set_threshold(COLLECTED_AT)


def _queues_of(names: list[str]) -> list[str]:
    try:
        return worker_bases.queues_of(names)
    except BasesInvalid as error:
        raise CommandError(str(error)) from error


def _work(names: list[str], queues: list[str]) -> int:
    """Serve queues of one kind until a signal arrives; return the exit code.

    The pool is ``solo``: this process claims and runs a job itself, so killing the process kills
    the job, whose lease then expires.
    """
    # Celery warns root about pickled messages; these are JSON, and containers often run as root.
    warnings.simplefilter("ignore", SecurityWarning)
    _end_by_signals()  # Celery asks for it later: a worker that still starts ends with 0 as well
    tracing.start()
    identity.announce()
    facts = worker_bases.facts if worker_bases.renders_for(names) else dict
    poller = Poller(queues, facts=facts, on_drain=_end_when_idle)
    poller.start()  # not when the broker responds: this worker runs jobs without it
    ended = "an error"
    try:
        log.info("worker %s started for %s", identity.worker_name(), ", ".join(queues))
        worker = _Worker(
            app=app,
            pool="solo",
            consumer_cls=LookingConsumer,
            queues=queues,
            hostname=f"{names[0]}@%h",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
        poller.end()
        queue.release_own()  # an interrupted job does not wait for its lease
        code = int(worker.exitcode or 0)
        ended = f"exit code {code}"
        return code
    finally:
        log.info("worker %s stopped: %s", identity.worker_name(), _reason or ended)


def _end_when_idle() -> None:
    """Have Celery's loop end between two messages, with exit code 0."""
    global _reason  # noqa: PLW0603 - the process has one
    if not _reason:
        _reason = "drained"
        log.info("worker %s takes no further jobs: it is drained", identity.worker_name())
    state.should_stop = 0  # type: ignore[assignment]  # declared by its first value, None


class _Worker(Worker):
    """Celery's worker, which the first signal stops immediately.

    Celery's handlers would wait for the end of a job, possibly minutes, and restart the process on
    SIGHUP. Jobs can be interrupted anywhere, so the handler raises an exception.
    """

    def install_platform_tweaks(self, worker: Any) -> None:
        """Replace Celery's signal handlers."""
        del worker
        _end_by_signals()


def _end_by_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, _end)


def _end(received: int, _frame: FrameType | None) -> None:
    for number in SIGNALS:
        signal.signal(number, _ignore)  # with SIG_IGN Python reports a pending signal
    global _reason  # noqa: PLW0603 - the process has one
    _reason = _reason or signal.Signals(received).name  # a log line would interrupt another one
    raise WorkerShutdown(0)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the process is already ending."""
