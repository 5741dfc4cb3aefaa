"""A folder of a thousand adapters through the command line, against a pace that people accept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.results import Result, medians
from benchmarks.setup.trained import write_sparse

FILES = 1_000
#: Different files behind their names: hard links, because a thousand of them fill a disk.
DIFFERENT = 20
ROUNDS = 3
#: Milliseconds a file, start of the program included: 100 files a second.
PACE = 10.0


def run() -> list[Result]:
    """Measure `lorary inspect DIR --json` by the clock."""
    with TemporaryDirectory(prefix="lorary-bench-") as place:
        folder = Path(place)
        tensors = _fill(folder)
        (spent,) = medians(lambda: _inspect(folder), rounds=ROUNDS)
        case = f"{FILES:,} files of {tensors:,} tensors"
        against = f"{1000 / PACE:.0f} files/s"
        return [Result("folders", case, spent, PACE, against, "ms a file", 1.0)]


def _fill(folder: Path) -> int:
    tensors = 0
    for number in range(FILES):
        path = folder / f"{number:04}.safetensors"
        if number < DIFFERENT:
            tensors = write_sparse(path, "kohya", rank=4 + 4 * (number % 8), seed=number)
        else:
            os.link(folder / f"{number % DIFFERENT:04}.safetensors", path)
    return tensors


def _inspect(folder: Path) -> float:
    command = [sys.executable, "-m", "lorary", "inspect", str(folder), "--json"]
    began = time.monotonic()
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    spent = time.monotonic() - began
    families = {json.loads(line)["base"]["family"] for line in answer.stdout.splitlines()}
    assert answer.stdout.count("\n") == FILES
    assert families == {"sdxl"}, families
    return 1000 * spent / FILES
