"""A header with its whole anatomy, against the official library reading names and shapes."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from safetensors import safe_open

from benchmarks.results import Result, medians
from benchmarks.setup.adapters import write_adapter
from benchmarks.setup.trained import write_sparse
from lorary.anatomy import inspect_file
from lorary.safetensors import read_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Rounds for large files, and calls in each.
ROUNDS, CALLS = 15, 5
#: Small files have more rounds, which take as long: a busy machine slows some by half.
SMALL_ROUNDS = 120
#: Names, shapes and syntax are what the peer gives; family, ranks, alphas and words come on top.
LIMIT = 4.5
#: In a small file the metadata outweighs the tensors, and what is asked once a file both: the peer
#: takes half a millisecond.
SMALL_TENSORS, SMALL_LIMIT = 201, 7.0


def run() -> list[Result]:
    """Measure what kohya's scripts and diffusers write, in CPU time of this process."""
    with TemporaryDirectory(prefix="lorary-bench-") as place:
        folder = Path(place)
        kohya, diffusers, small = (folder / name for name in ("kohya", "diffusers", "small"))
        tensors = write_sparse(kohya, "kohya")
        results = [*_measure(kohya, f"kohya, {tensors:,} tensors", LIMIT)]
        tensors = write_sparse(diffusers, "diffusers")
        results += _measure(diffusers, f"diffusers, {tensors:,} tensors", LIMIT)
        write_adapter(small, tensors=SMALL_TENSORS)
        results += _measure(small, f"kohya, {SMALL_TENSORS} tensors", SMALL_LIMIT, SMALL_ROUNDS)
        return results


def _measure(path: Path, case: str, limit: float, rounds: int = ROUNDS) -> Iterator[Result]:
    inspection = inspect_file(path)
    assert inspection.anatomy is not None
    assert inspection.anatomy.base.candidates
    assert not inspection.refused
    header, ours, official = medians(
        _timed(lambda: read_header(path)),
        _timed(lambda: inspect_file(path).to_dict()),
        _timed(lambda: _official(path)),
        rounds=rounds,
    )
    against = "safe_open, names and shapes"
    yield Result("headers", f"strict header, {case}", header, official, against, "ms")
    yield Result("headers", f"with anatomy, {case}", ours, official, against, "ms", limit)


def _official(path: Path) -> list[object]:
    with safe_open(path, framework="numpy") as handle:
        return [handle.get_slice(key).get_shape() for key in handle.keys()]  # noqa: SIM118 - no mapping


def _timed(act: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        began = time.process_time()
        for _ in range(CALLS):
            act()
        return 1000 * (time.process_time() - began) / CALLS

    act()  # warm: tables, caches
    return measure
