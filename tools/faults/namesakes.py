"""Workers in containers that share host name and process ids, killed at any moment.

Each container is a process with a data directory of its own, in which one worker after the other
is forked, and killed or left alone. All of them write to a ledger what they do; ``verify`` reads
from it whether two living workers ever held one job, and whether each job ended once.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).resolve().parents[2]
#: What all containers believe to be.
HOST, PID = "worker-0", 7
QUEUE, TASK = "checks", "stamp"

_real_pid = os.getpid


class Doubled(AssertionError):
    """Two living workers held one job, or a job ended twice."""


def start(
    ledger: Path, environ: Mapping[str, str], *, kill_after_s: float
) -> subprocess.Popen[bytes]:
    """Start a container; it ends when no job is open.

    Args:
        environ: Names the database, and a data directory for this container alone.
        kill_after_s: Mean time after which a worker is killed; 0 for never.
    """
    command = [sys.executable, "-m", "tools.faults.namesakes", str(ledger), str(kill_after_s)]
    return subprocess.Popen(command, cwd=ROOT, env={**environ, "LORARY_JOB_LEASE_S": "2"})


def verify(lines: Iterable[str]) -> dict[str, int]:
    """Return how often each job ended, from the lines of a ledger.

    Raises:
        Doubled: a job was begun while a living worker held it, or ended by another one.
    """
    dead: set[str] = set()
    holders: dict[str, str] = {}
    ends: dict[str, int] = {}
    for kind, worker, what in (line.split() for line in lines):
        if kind == "kill":
            dead.add(worker)
        elif kind == "begin":
            if holders.get(what, worker) not in {worker, *dead}:
                message = f"job {what} was held by {holders[what]} when {worker} began it"
                raise Doubled(message)
            holders[what] = worker
        else:
            if holders.pop(what) != worker:
                message = f"job {what} was ended by {worker}, who had lost it"
                raise Doubled(message)
            ends[what] = ends.get(what, 0) + 1
    return ends


def _contain(ledger: Path, kill_after_s: float) -> None:
    """Run one worker after the other until no job is open."""
    socket.gethostname = lambda: HOST
    os.getpid = lambda: PID
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings.base")
    django.setup()
    from django.db import connection  # noqa: PLC0415 - after the set-up

    draw = random.Random(str(ledger))
    book = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    is_over = False
    while not is_over:
        connection.close()
        if (child := os.fork()) == 0:
            _work(book)
        until = time.monotonic() + draw.expovariate(1 / kill_after_s) if kill_after_s else None
        while not (is_over := os.waitpid(child, os.WNOHANG)[0] == child):
            if until is not None and time.monotonic() > until:
                _write(book, "kill", child)
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            time.sleep(0.01)


def _work(book: int) -> None:
    """Be a worker until no job is open; never returns."""
    from registry.jobs import identity, queue, worker_process  # noqa: PLC0415 - after the set-up
    from registry.models import Job, JobState  # noqa: PLC0415

    pid = _real_pid()

    @queue.handler(TASK)
    def stamp(run: queue.JobRun) -> None:
        _write(book, "begin", pid, run.job.pk)
        run.progress(0, 1)
        time.sleep(0.02)
        run.check_cancelled()
        _write(book, "end", pid, run.job.pk)

    identity.announce()
    while Job.objects.filter(state__in=[JobState.QUEUED, JobState.RUNNING]).exists():
        queue.release_dead()
        worker_process.drain(QUEUE)
        time.sleep(0.05)
    os._exit(0)


def _write(book: int, kind: str, worker: int, job: int = 0) -> None:
    os.write(book, f"{kind} {worker} {job}\n".encode())


if __name__ == "__main__":
    _contain(Path(sys.argv[1]), float(sys.argv[2]))
