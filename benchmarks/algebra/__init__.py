"""Resizing of adapters of real shapes, in a process of its own with one thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from benchmarks.results import Result

#: Read when numpy is imported, so the measurements need a new process.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run() -> list[Result]:
    """Run the measurements in a new process."""
    command = [sys.executable, "-m", "benchmarks.algebra.resizing"]
    done = subprocess.run(
        command, env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, text=True, check=True
    )
    return [Result(**row) for row in json.loads(done.stdout)]
