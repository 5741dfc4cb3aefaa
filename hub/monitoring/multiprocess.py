"""The files in which web processes keep counts, so that each can report the totals of all.

```
<data>/metrics/<random>/lock                 held while the hub runs
                        counter_<pid>.db     one file for each kind of metric and process
```

prometheus-client maps the files into memory (``PROMETHEUS_MULTIPROC_DIR``).
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

from registry.local_files import make_folder

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
#: File → bytes that are reserved. A write to a mapped page without space on the disk kills the
#: process (SIGBUS), so a full disk must not be noticed there. All series of all routes take less.
RESERVED = {"counter": 2**19, "histogram": 2**21, "gauge_livesum": 2**12}

log = logging.getLogger(__name__)


def new_folder(data: Path) -> Path:
    """Return a new folder for the counts of this hub; delete those of hubs that have ended."""
    parent = data / "metrics"
    make_folder(parent)
    handle = os.open(parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)  # another hub that starts would delete the folder
        for old in parent.iterdir():
            if (lock := _locked(old)) is not None:
                shutil.rmtree(old, ignore_errors=True)
                os.close(lock)
        folder = Path(tempfile.mkdtemp(dir=parent))
        _locked(folder)  # until this process ends
    finally:
        os.close(handle)
    return folder


def _locked(folder: Path) -> int | None:
    """Lock a folder; return None if its hub runs, or its file system has no locks."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


# gunicorn's hooks, which it finds by name: ``--config python:hub.monitoring.multiprocess``.


def post_fork(server: Any, worker: Any) -> None:  # noqa: ANN401 - gunicorn's
    """Reserve the files of a new web process."""
    del server, worker
    if sys.platform == "darwin":  # has no such call
        return
    try:
        for kind, size in RESERVED.items():
            path = f"{os.environ[VARIABLE]}/{kind}_{os.getpid()}.db"
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(handle, 0, size)
            finally:
                os.close(handle)
    except OSError as error:
        log.warning("Requests of process %d are not in the metrics: %s", os.getpid(), error)
        os.environ[VARIABLE] = tempfile.mkdtemp(prefix="lorary-metrics-")


def child_exit(server: Any, worker: Any) -> None:  # noqa: ANN401 - gunicorn's
    """Keep an ended process's counts, but free its unused space and drop its open requests."""
    del server
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # untyped there
    for path in Path(os.environ[VARIABLE]).glob(f"*_{worker.pid}.db"):
        with path.open("r+b") as file:
            file.truncate(max(mmap.PAGESIZE, int.from_bytes(file.read(4), sys.byteorder)))
