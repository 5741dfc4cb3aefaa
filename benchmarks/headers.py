"""A header with its whole anatomy, against the official library reading names and shapes."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from safetensors import safe_open

from benchmarks.adapters import write_adapter
from benchmarks.results import Result, medians
from lorary.anatomy import inspect_file
from lorary.safetensors import open_source, read_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lorary.safetensors import Header

__all__ = ["run"]

#: Tensors in the file; whole modules of three.
SIZES = (201, 699, 2001)
#: Rounds, and calls in each.
ROUNDS, CALLS = 15, 5
#: Names, shapes and syntax are what the peer gives; family, ranks, alphas and words come on top.
LIMIT = 6.0


def run() -> list[Result]:
    """Measure files of about 200, 700 and 2,000 tensors, in CPU time of this process."""
    with TemporaryDirectory(prefix="lorary-bench-") as folder:
        return [line for tensors in SIZES for line in _measure(Path(folder), tensors)]


def _measure(folder: Path, tensors: int) -> Iterator[Result]:
    path = folder / f"{tensors}.safetensors"
    write_adapter(path, tensors=tensors)
    inspection = inspect_file(path)
    assert inspection.anatomy is not None
    assert inspection.anatomy.tensors == tensors
    assert not inspection.refused
    header, ours, official = medians(
        _timed(lambda: _header(path)),
        _timed(lambda: inspect_file(path)),
        _timed(lambda: _official(path)),
        rounds=ROUNDS,
    )
    against = "safe_open, names and shapes"
    yield Result("headers", f"strict header, {tensors} tensors", header, official, against, "ms")
    case = f"header and anatomy, {tensors} tensors"
    yield Result("headers", case, ours, official, against, "ms", LIMIT)


def _header(path: Path) -> Header:
    with open_source(path) as source:
        return read_header(source)


def _official(path: Path) -> list[object]:
    with safe_open(path, framework="numpy") as handle:
        return [handle.metadata(), *(handle.get_slice(key).get_shape() for key in handle.keys())]  # noqa: SIM118 - no mapping


def _timed(act: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        began = time.process_time()
        for _ in range(CALLS):
            act()
        return 1000 * (time.process_time() - began) / CALLS

    act()  # warm: tables, caches
    return measure
