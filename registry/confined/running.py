"""Runs a module in a process of its own: without this one's settings, with limits."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from registry import storage
from registry.confined import inside, processes
from registry.errors import StorageFull
from registry.jobs.queue import Fail, Retry
from registry.local_files import make_folder

log = logging.getLogger(__name__)

#: Time limit of the work: this, plus a second for this number of bytes.
MIN_LIMIT_S, BYTES_PER_S = 120, 2 * 1024 * 1024
#: Seconds between two looks at the process.
LOOK_S = 0.2
#: Signals of a worker that stops. SIGKILL is not one: the kernel sends it when memory runs out.
_STOPPED = {-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}
#: Seconds until a killed process is started again.
AFTER_KILL_S = 10

Progress = Callable[[int, int], object]


def limit_s(size_bytes: int) -> int:
    """Return the time limit of the work on this number of bytes, in seconds."""
    return MIN_LIMIT_S + size_bytes // BYTES_PER_S


def work_folder() -> Path:
    """Return the folder in which processes work."""
    folder: Path = settings.LORARY.data / "derived"
    return folder


@contextmanager
def new_folder() -> Iterator[Path]:
    """Make a folder for one process; it is deleted afterwards."""
    make_folder(work_folder())
    with tempfile.TemporaryDirectory(dir=work_folder()) as place:
        yield Path(place)


def bring(sha256: str, target: Path) -> None:
    """Link a stored file of this machine, or copy it from a bucket.

    Raises:
        FileNotFoundError: the store lacks it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    place = storage.store().link(sha256, storage.Fetch())
    with storage.store().open(sha256) as source:  # raises if it is not there
        if isinstance(place, Path):
            target.symlink_to(place)
            return
        with target.open("wb") as copy:
            for chunk in storage.chunks_of(source):
                copy.write(chunk)


def run(module: str, folder: Path, order: dict[str, Any], *, progress: Progress) -> dict[str, Any]:
    """Run a module and return its outcome.

    Args:
        module: A module whose ``main`` is ``registry.confined.inside.main``.
        folder: Folder with its sources.
        order: What it is to do; ``seconds`` is its time limit.
        progress: Called with the steps that are done and their number; may raise.

    Raises:
        Fail: it failed, or took too long; the text is for users.
        Retry: it was stopped; counts as an attempt if it was killed.
        StorageFull: the disk of this machine has no room.
    """
    (folder / inside.ORDER).write_text(json.dumps(order), "utf-8")
    with processes.started(module, folder, str(folder)) as running:
        until = time.monotonic() + order["seconds"] + processes.LATE_S
        while True:
            try:
                code = running.wait(LOOK_S)
                break
            except subprocess.TimeoutExpired:
                progress(*_step(folder))
                if time.monotonic() > until:
                    raise Fail(_too_slow()) from None
    if code in _STOPPED:
        raise Retry(_("The process was stopped."), after_s=1, is_attempt=False)
    if code == -signal.SIGKILL:
        raise Retry(
            _("The process was killed, perhaps because it used too much memory."),
            after_s=AFTER_KILL_S,
        )
    if code == -signal.SIGALRM:
        raise Fail(_too_slow())
    if code == os.EX_TEMPFAIL:
        raise StorageFull(_("The disk has no room for this work."))
    if code != 0:
        log.error("%s %s: %s", module, order, processes.errors_in(folder))
        raise Fail(failed_text())
    outcome: dict[str, Any] = json.loads((folder / inside.OUTCOME).read_text("utf-8"))
    return outcome


def failed_text() -> str:
    """Return what users read about an error of the hub."""
    return _("The work failed. An administrator can find the reason in the log.")


def _too_slow() -> str:
    return _("It took too long.")


def _step(folder: Path) -> tuple[int, int]:
    """Return the number of the running step, and how many there are; 0 of 0 before the first."""
    try:
        done, total = (folder / inside.STEP).read_text("utf-8").split()
    except (FileNotFoundError, ValueError):
        return 0, 0
    return int(done), int(total)
