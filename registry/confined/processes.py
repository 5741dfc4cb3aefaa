"""Starts confined processes, and sets their limits from inside. It knows no Django."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Seconds after the alarm of a process at which it is killed.
LATE_S = 10


@contextmanager
def started(module: str, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module without this process's environment; kill it at the end of the block.

    Args:
        folder: Its home, with its temporary files and errors.
    """
    environ = {
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": os.defpath,
    }
    with (folder / "log").open("wb") as errors:
        running = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
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


def errors_in(folder: Path) -> str:
    """Return the end of what a process wrote to its standard error."""
    with (folder / "log").open("rb") as errors:
        errors.seek(max(0, os.fstat(errors.fileno()).st_size - 2000))
        return errors.read().decode("utf-8", "replace")


def limit(limits: Mapping[int, int], *, hard: int = 0) -> None:
    """Set limits of this process, which code that it runs cannot raise by more than ``hard``."""
    for kind, most in {**limits, resource.RLIMIT_CORE: 0}.items():
        with suppress(ValueError):  # macOS cannot limit the address space
            resource.setrlimit(kind, (most, most + hard))
