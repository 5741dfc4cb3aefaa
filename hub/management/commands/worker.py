"""``manage.py worker``: worker processes, one for each queue."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery.signals import worker_ready
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from hub.celery import app
from hub.supervisor import Child, Supervisor
from registry.worker import Sweeper

if TYPE_CHECKING:
    from argparse import ArgumentParser

__all__ = ["DEFAULT_QUEUES", "Command", "worker_children"]

#: Checks never wait behind renders: each queue has a process of its own.
DEFAULT_QUEUES = "checks,render"


class Command(BaseCommand):
    """Work on jobs: one process a queue."""

    help = "Run workers alone, for example on a machine with a graphics card."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the queues."""
        parser.add_argument(
            "--queues", default=DEFAULT_QUEUES, help="comma-separated; one process each"
        )

    def handle(self, *_args: str, **options: Any) -> None:
        """Work on one queue in this process, or supervise a process for each of several."""
        queues = _names(options["queues"])
        if not queues:
            message = "Name at least one queue."
            raise CommandError(message)
        if len(queues) == 1:
            sys.exit(_work(queues[0]))
        connections.close_all()
        sys.exit(Supervisor(worker_children(options["queues"]), say=self.stderr.write).run())


def worker_children(queues: str) -> list[Child]:
    """Return the worker processes for a comma-separated list of queues."""
    manage = str(Path(sys.argv[0]).resolve())
    return [
        Child(f"worker of {name}", [sys.executable, manage, "worker", "--queues", name])
        for name in _names(queues)
    ]


def _names(queues: str) -> list[str]:
    return [name.strip() for name in queues.split(",") if name.strip()]


def _work(queue: str) -> int:
    """Serve one queue until a signal comes; return the exit code.

    The pool is ``solo``: a job row is claimed and done in this very process, so a kill of the
    process is a kill of the job, and its lease runs out.
    """
    sweeper = Sweeper([queue])
    worker_ready.connect(lambda **_: sweeper.start(), weak=False)
    worker = app.Worker(
        pool="solo",
        queues=[queue],
        hostname=f"{queue}@%h",
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    sweeper.stopping.set()
    return int(worker.exitcode or 0)
