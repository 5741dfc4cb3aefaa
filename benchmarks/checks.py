"""The full pass of the checks over a file, against plain SHA-256 of the same bytes.

``python -m benchmarks.checks FILE`` reads a file and prints by how much its memory grew.
"""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.results import Result, medians
from benchmarks.setup.adapters import write_large
from lorary.anatomy import inspect_file
from registry.scan import file_scan
from tests.builders.weights import file_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
CPU_LIMIT, WALL_LIMIT = 7.0, 4.5
#: Peak memory above idle, in MiB, while a file of 4 GB passes.
MEMORY_MIB = 150
BLOCK = 1024 * 1024
LONG_BYTES = 4_000_000_000


def run() -> list[Result]:
    """Measure 500 MB in CPU and wall time, and the memory that 4 GB take."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "large.safetensors"
        size = write_large(place)
        pair = (partial(_check, place), partial(_plain, place))
        cpu = [partial(_cpu_s, act, size) for act in pair]
        wall = [partial(_wall_s, act, size) for act in pair]
        spent = medians(*cpu, *wall, rounds=ROUNDS)
        place.unlink()
        memory = _memory_mib(Path(folder) / "long.safetensors")
    against = "read + sha256"
    has_two = len(os.sched_getaffinity(0)) > 1
    return [
        Result(
            "checks", "every check of 500 MB", spent[0], spent[1], against, "CPU s/GB", CPU_LIMIT
        ),
        Result(
            "checks",
            "the same, on two idle cores",
            spent[2],
            spent[3],
            against,
            "s/GB",
            WALL_LIMIT if has_two else None,
        ),
        Result(
            "checks", "memory above idle, 4 GB", memory, MEMORY_MIB, "what it may take", "MiB", 1.0
        ),
    ]


def _check(place: Path) -> None:
    with place.open("rb") as handle:
        inspection = inspect_file(handle)
        found = file_scan.scan_file(handle, place.stat().st_size, inspection.header)
        assert "tensors" in found.hashes


def _plain(place: Path) -> None:
    sha, block = hashlib.sha256(), memoryview(bytearray(BLOCK))
    with place.open("rb", buffering=0) as handle:
        while taken := handle.readinto(block):
            sha.update(block[:taken])


def _cpu_s(act: Callable[[], None], size: int) -> float:
    began = time.process_time()
    act()
    return (time.process_time() - began) / (size / 1e9)


def _wall_s(act: Callable[[], None], size: int) -> float:
    began = time.monotonic()
    act()
    return (time.monotonic() - began) / (size / 1e9)


def _memory_mib(place: Path) -> float:
    """Write a file of 4 GB that takes no room on the disk, and have another process read it."""
    side = LONG_BYTES // 2 // 64 * 64
    halves = {"down": [16, side // 32], "up": [side // 32, 16]}
    header = {
        half: {  # no name of an adapter: nothing is to be said of zeros
            "dtype": "F16",
            "shape": shape,
            "data_offsets": [number * side, (number + 1) * side],
        }
        for number, (half, shape) in enumerate(halves.items())
    }
    head = file_of(header)
    with place.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + 2 * side)
    command = [sys.executable, "-m", "benchmarks.checks", str(place)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    idle = _peak_mib()
    _check(Path(sys.argv[1]))
    print(_peak_mib() - idle)
