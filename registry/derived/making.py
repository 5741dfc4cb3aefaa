"""Makes a derived file: in a process of its own, then stored under its digest."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from lorary.anatomy.claims.config import CONFIG_NAME
from registry import storage
from registry.blobs import promote
from registry.blobs.selectors import keeping_files
from registry.derived import process
from registry.derived.expiry import work_folder
from registry.errors import StorageFull
from registry.jobs.queue import Fail, Retry
from registry.local_files import make_folder
from registry.models import DerivedFile, DerivedState
from registry.storage.base import refuse_when_full

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[2]
#: Time limit of the work: this, plus a second for this number of bytes.
MIN_LIMIT_S, BYTES_PER_S = 120, 2 * 1024 * 1024
#: Seconds between two looks at the process, and after its own alarm until it is killed.
LOOK_S, LATE_S = 0.2, 10
#: Signals of a worker that stops. SIGKILL is not one: the kernel sends it when memory runs out.
_STOPPED = {-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}
#: Seconds until a killed process is started again.
AFTER_KILL_S = 10

Progress = Callable[[int, int], object]


def limit_s(row: DerivedFile) -> int:
    """Return the time limit of the work on a file, in seconds."""
    return MIN_LIMIT_S + row.source.size_bytes // BYTES_PER_S


def make(*, row: DerivedFile, progress: Progress) -> None:
    """Make a queued file, and mark it as ready or refused; safe to run again at any point.

    Args:
        progress: Called with the steps that are done and their number; may raise.

    Raises:
        Fail: the source is gone, or the process failed.
        Retry: the process was stopped; counts as an attempt if it was killed.
        StorageFull: the disk of this machine has no room.
        FileNotFoundError: the store lacks the source.
    """
    if row.state != DerivedState.QUEUED:
        return
    kept = keeping_files().filter(blob=row.source_id, revision__adapter=row.adapter_id)
    if not kept.exists():
        raise Fail(_("The source was withdrawn."))
    with refuse_when_full(), _new_folder() as folder:
        outcome = _run(row, folder, progress)
        if "refused" in outcome:
            code, reason = outcome["refused"], outcome["reason"]
            _end(row, state=DerivedState.REFUSED, refusal=code, reason=reason)
            return
        if outcome["path"] == process.SOURCE:
            written = storage.Written(row.source.size_bytes, row.source.sha256)
        else:
            with (folder / outcome["path"]).open("rb") as handle:
                written = promote.put(storage.chunks_of(handle))
    with transaction.atomic():
        blob = row.source if written.sha256 == row.source.sha256 else promote.mark_stored(written)
        _end(
            row,
            state=DerivedState.READY,
            blob=blob,
            config=outcome["config"],
            certificate=outcome["certificate"],
        )


@contextmanager
def _new_folder() -> Iterator[Path]:
    make_folder(work_folder())
    with tempfile.TemporaryDirectory(dir=work_folder()) as place:
        yield Path(place)


def _end(row: DerivedFile, **values: object) -> None:
    DerivedFile.objects.filter(pk=row.pk, state=DerivedState.QUEUED).update(**values)


def fail(*, row: DerivedFile, reason: str) -> None:
    """Mark a file as failed; the next request makes it again."""
    _end(row, state=DerivedState.FAILED, reason=reason)


def _run(row: DerivedFile, folder: Path, progress: Progress) -> dict[str, Any]:
    """Run the process and return its outcome."""
    _write_order(row, folder)
    with _process(folder) as running:
        until = time.monotonic() + limit_s(row) + LATE_S
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
        raise Retry(_("The process was killed, perhaps for its memory."), after_s=AFTER_KILL_S)
    if code == -signal.SIGALRM:
        raise Fail(_too_slow())
    if code == os.EX_TEMPFAIL:
        raise StorageFull(_("The disk has no room to make the file."))
    if code != 0:
        log.error("derived file %s: %s", row.pk, (folder / "log").read_text("utf-8")[-2000:])
        raise Fail(failed_text())
    outcome: dict[str, Any] = json.loads((folder / process.OUTCOME).read_text("utf-8"))
    return outcome


def failed_text() -> str:
    """Return what users read about an error of the hub."""
    return _("The file could not be made. An administrator finds the reason in the log.")


def _too_slow() -> str:
    return _("It took too long.")


def _write_order(row: DerivedFile, folder: Path) -> None:
    order = {
        "naming": row.naming,
        "family": row.family,
        "max_rank": row.max_rank,
        "strip": row.is_stripped,
        "seconds": limit_s(row),
    }
    (folder / process.SOURCE).parent.mkdir()
    _bring(row.source.sha256, folder / process.SOURCE)
    if row.config_sha256:
        _bring(row.config_sha256, (folder / process.SOURCE).with_name(CONFIG_NAME))
    (folder / process.ORDER).write_text(json.dumps(order), "utf-8")


def _bring(sha256: str, target: Path) -> None:
    """Link a stored file of this machine, or copy it from a bucket."""
    place = storage.store().link(sha256, storage.Fetch())
    with storage.store().open(sha256) as source:  # raises if it is not there
        if isinstance(place, Path):
            target.symlink_to(place)
            return
        with target.open("wb") as copy:
            for chunk in storage.chunks_of(source):
                copy.write(chunk)


@contextmanager
def _process(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process without this one's environment; kill it if this one gives up."""
    environ = {
        "PYTHONPATH": str(_ROOT),
        "PYTHONUTF8": "1",
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": os.defpath,
    }
    command = [sys.executable, "-m", process.__name__, str(folder)]
    with (folder / "log").open("wb") as errors:
        running = subprocess.Popen(
            command,
            cwd=_ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()
                running.wait()


def _step(folder: Path) -> tuple[int, int]:
    """Return the number of the running step, and how many there are; 0 of 0 before the first."""
    try:
        done, total = (folder / process.STEP).read_text("utf-8").split()
    except (FileNotFoundError, ValueError):
        return 0, 0
    return int(done), int(total)
