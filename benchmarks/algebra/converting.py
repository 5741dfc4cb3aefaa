"""Measures conversion; ``python -m benchmarks.algebra.converting`` prints the results.

Seconds are CPU seconds of this process, as in `resizing`.
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
    from collections.abc import Iterator, Sequence

#: Times reading, hashing and writing the file that a conversion may take.
RENAMED, CHANGED = 1.2, 4.0


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
        work()  # warm: tables of families, page cache
        ours, plain = least(work, partial(copy, path, place / "copy"), rounds=rounds)
        size = path.stat().st_size / 1e9
        case = f"convert {kind.title} r{kind.rank} to {target}: {how}, {size:.1f} GB"
        yield Result("converting", case, ours, plain, "read, sha256 and write", "s", bound)
        path = out


def _converted(path: Path, out: Path, target: str, family: str) -> float:
    out.unlink(missing_ok=True)  # both sides write a new file
    began = time.process_time()
    convert(path, to=target, out=out, family=family)
    return time.process_time() - began


if __name__ == "__main__":
    sys.stdout.write(table(run(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)) + "\n")
