"""Server CPU of an upload, against reading, hashing and writing the same bytes in one process."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

from benchmarks.adapters import write_large
from benchmarks.hubs import measured_hub
from benchmarks.processes import cpu_s
from benchmarks.results import Result, medians
from tests.e2e.talk import sent_from

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.hubs import Measured

__all__ = ["run"]

ROUNDS = 5
LIMIT = 3.5
#: The checks read every number and hash the file and, for the digests of other tools, its tensors.
CHECKED_LIMIT = 4.5
BLOCK = 1024 * 1024


def run() -> list[Result]:
    """Measure raw PUTs of 500 MB: the web processes alone, and with the deep checks."""
    with measured_hub() as measured:
        source = measured.folder / "large.safetensors"
        size = write_large(source)
        checks: list[float] = []

        def ours() -> float:
            web, worker = _upload(measured, source, size)
            checks.append(worker)
            return web

        web, floor = medians(ours, lambda: _floor(source, size), rounds=ROUNDS)
        checked = web + sorted(checks)[len(checks) // 2]
        against, unit = "read + sha256 + write + fsync", "CPU s/GB"
        return [
            Result("upload", "raw PUT of 500 MB", web, floor, against, unit, LIMIT),
            Result(
                "upload", "the same with deep checks", checked, floor, against, unit, CHECKED_LIMIT
            ),
        ]


def _upload(measured: Measured, source: Path, size: int) -> tuple[float, float]:
    """Return CPU seconds per GB of the web processes and of the worker that checks."""
    web, worker = measured.web, measured.checks
    before = cpu_s(web), cpu_s(worker)
    measured.ada.accepted_stream(sent_from(source), size)
    return (cpu_s(web) - before[0]) / (size / 1e9), (cpu_s(worker) - before[1]) / (size / 1e9)


def _floor(source: Path, size: int) -> float:
    target = source.with_suffix(".copy")
    began = time.process_time()
    # One buffer: a fresh one for each block costs page faults, up to three times the work itself.
    sha, block = hashlib.sha256(), memoryview(bytearray(BLOCK))
    with source.open("rb", buffering=0) as reading, target.open("wb", buffering=0) as writing:
        while taken := reading.readinto(block):
            sha.update(block[:taken])
            writing.write(block[:taken])
        os.fsync(writing.fileno())
    spent = time.process_time() - began
    target.unlink()
    return spent / (size / 1e9)
