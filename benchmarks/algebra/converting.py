"""Measures conversion; ``python -m benchmarks.algebra.converting`` prints the results.

Both sides flush their file to disk. Seconds are those of the clock, which people wait for, and CPU
seconds of this process, as in `resizing`.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.algebra.files import FLUX, WAN, Kind, write
from benchmarks.algebra.resizing import ROUNDS, copy
from benchmarks.results import Result, least, table
from lorary.algebra.conversion.converting import convert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Times reading, hashing and writing the file that a conversion may take. The certificate compares
#: both files, which waits for nothing, but is a fifth of the CPU time of a renamed file.
RENAMED, CHANGED, RENAMED_CPU = 1.2, 4.0, 1.3
CLOCKS = {"s": time.perf_counter, "CPU s": time.process_time}


def run(rounds: int = ROUNDS) -> list[Result]:
    """Measure a renamed file of a gigabyte, and one that is split and fused again."""
    with TemporaryDirectory(prefix="lorary-bench-") as place:
        return [*_measure(Path(place), WAN, [("comfyui", "renamed", RENAMED)], rounds),
                *_measure(Path(place), FLUX, [("diffusers", "split", CHANGED),
                                              ("kohya", "fused", CHANGED)], rounds)]  # fmt: skip


def _measure(
    place: Path, kind: Kind, ways: Sequence[tuple[str, str, float]], rounds: int
) -> Iterator[Result]:
    """Convert a file to one naming after the other."""
    path = place / "in.safetensors"
    write(kind, path)
    for number, (target, how, bound) in enumerate(ways):
        out = place / f"{number}.safetensors"
        work = partial(_converted, path, out, target, kind.family)
        work(time.perf_counter)  # warm: tables of families, page cache
        size = path.stat().st_size / 1e9
        case = f"convert {kind.title} r{kind.rank} to {target}: {how}, {size:.1f} GB"
        for unit, clock in CLOCKS.items():
            ours, plain = least(
                partial(work, clock), partial(copy, path, place / "copy", clock), rounds=rounds
            )
            most = RENAMED_CPU if (unit, bound) == ("CPU s", RENAMED) else bound
            yield Result("converting", case, ours, plain, "read, sha256 and write", unit, most)
        path = out


def _converted(
    path: Path, out: Path, target: str, family: str, clock: Callable[[], float]
) -> float:
    out.unlink(missing_ok=True)  # both sides write a new file
    began = clock()
    convert(path, to=target, out=out, family=family)
    return clock() - began


if __name__ == "__main__":
    sys.stdout.write(table(run(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)) + "\n")
