"""Measures resizing; ``python -m benchmarks.algebra.resizing`` prints the results as JSON.

Seconds are CPU seconds of this process, which has one thread: on an idle core they are those of the
clock, without waits for the disk.

The time of kohya's method (`networks/resize_lora.py` of sd-scripts) is a formula. The script forms
ΔW of each module, and calls a full singular value decomposition of it, whose time for m × n numbers
is c · m · n · min(m, n). The constant c is measured by numpy, in F32 as there, on modules of SDXL
with 640 and 1,280 rows, and the smaller one counts; the rest of the script counts nothing:

    kohya = c · Σ m · n · min(m, n)   over the modules of the file
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.algebra.files import FLUX, SDXL, WAN, Kind, shapes_of, write
from benchmarks.results import Result, medians
from lorary.algebra.matrices.gram import singular_values
from lorary.algebra.modules import open_adapter
from lorary.algebra.resize import resize_to_rank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 3
#: Seconds that resizing may take.
LIMITS_S = {FLUX: 3.0, WAN: 12.0}
#: For SDXL: times reading and writing the file, and seconds on top.
TIMES, ON_TOP_S = 1.5, 0.5
KOHYA_TIMES = 20
SAMPLES = ((640, 640), (1280, 1280))
CHECKED = 3  # modules whose singular values are compared
ACCURACY = 1e-6
MEMORY_MB = 250.0
_PIECE_BYTES = 1024 * 1024


def run() -> Iterator[Result]:
    """Measure the three kinds of files, one after the other."""
    constant = _kohya_constant()
    with TemporaryDirectory(prefix="lorary-bench-") as place:
        for kind in (SDXL, FLUX, WAN):
            path, out = Path(place, "in.safetensors"), Path(place, "out.safetensors")
            write(kind, path)
            yield from _measure(kind, path, out, constant)


def _measure(kind: Kind, path: Path, out: Path, constant: float) -> Iterator[Result]:
    def resize() -> float:
        began = time.process_time()
        resize_to_rank(path, out, rank=kind.target)
        return time.process_time() - began

    case = f"resize {kind.title} r{kind.rank} to {kind.target}"
    resize()  # warm: tables of families, page cache
    with _anonymous_memory() as peak:
        ours, copied = medians(resize, lambda: copy(path, out), rounds=ROUNDS)
    if kind in LIMITS_S:
        yield Result("algebra", case, ours, LIMITS_S[kind], "the limit", "s", 1)
    else:
        allowed = TIMES * copied + ON_TOP_S
        against = f"{TIMES} x read, sha256 and write, + {ON_TOP_S} s"
        yield Result("algebra", case, ours, allowed, against, "s", 1)
    kohya = constant * sum(
        out_size * fan_in * min(out_size, fan_in) for _, (out_size, fan_in) in shapes_of(kind)
    )
    by_kohya = f"the same by kohya's method (formula), {kind.title}"
    yield Result("algebra", by_kohya, kohya, ours, "ours", "s", floor=KOHYA_TIMES)
    yield Result("algebra", f"{case}, memory", peak[0], MEMORY_MB, "the limit", "MB", 1)
    if kind is SDXL:
        error = max(_errors(path))
        yield Result("algebra", "singular values", error, ACCURACY, "of dense SVD", "", 1)


def copy(path: Path, out: Path, clock: Callable[[], float] = time.process_time) -> float:
    """Read, hash and write a file, flush it to disk, and return the seconds."""
    out.unlink(missing_ok=True)
    began = clock()
    digest = hashlib.sha256()
    with path.open("rb") as source, out.open("wb") as target:
        while piece := source.read(_PIECE_BYTES):
            digest.update(piece)
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    return clock() - began


def _kohya_constant() -> float:
    """Return seconds for each m · n · min(m, n) of a full decomposition, the least of samples."""
    random = np.random.default_rng(0)
    found = []
    for out, fan_in in SAMPLES:
        update = random.standard_normal((out, fan_in)).astype(np.float32)
        began = time.process_time()
        np.linalg.svd(update)
        found.append((time.process_time() - began) / (out * fan_in * min(out, fan_in)))
    return min(found)


def _errors(path: Path) -> Iterator[float]:
    """Yield the largest error of the singular values of some modules, relative to the largest."""
    with open_adapter(path) as adapter:
        modules = sorted(adapter.modules.values(), key=lambda one: one.out * one.fan_in)
        for module in modules[:: max(1, len(modules) // CHECKED)][:CHECKED]:
            factors = adapter.factors(module)
            ours = singular_values(factors)
            dense = np.linalg.svd(factors.dense(), compute_uv=False)[: len(ours)]
            yield float(np.abs(ours - dense).max() / dense[0])


@contextmanager
def _anonymous_memory() -> Iterator[list[float]]:
    """Yield a list whose only number becomes the peak of anonymous memory in MB (Linux)."""
    peak = [0.0]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            peak[0] = max(peak[0], _anonymous_mb())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        is_over.set()
        watcher.join()


def _anonymous_mb() -> float:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    sizes = [line.split()[1] for line in lines if line.startswith("RssAnon:")]
    return int(sizes[0]) / 1000 if sizes else 0.0


if __name__ == "__main__":
    json.dump([asdict(result) for result in run()], sys.stdout)
