"""Whether a worker's memory stays flat: 500 renders of different adapters over three bases.

    python -m benchmarks.memory --report docs/reports

Adapters are the demo's and one by every method, their numbers changed for each render. The bases
are copies of the miniature under three names; every few renders another one is asked for, so that
bases are opened and dropped all the time. Pictures are small and of one step: what is looked at is
what stays behind. The exit code is 1 when it is more than ``BOUND_MB``.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.previews import DEMO
from benchmarks.results import machine
from benchmarks.setup.copies import changed_copy
from previews.render import Bases, Layer, load_bases
from previews.render.defaults import recipe_of
from previews.render.engine import Engine
from tests.previews.methods import METHODS, changes, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from previews.render import Base

RENDERS, EVERY, SETTLED = 500, 50, 100
#: Renders on a base before the next one is asked for.
TURN = 10
#: How much a process may grow from render SETTLED to the last one.
BOUND_MB = 20.0
#: Bases that the engine keeps open; each number has a process of its own.
KEPT = (1, 2)

Reading = tuple[int, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--renders", type=int, default=RENDERS, metavar="N")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="also write a dated page")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh, max_tasks_per_child=1) as processes:
        readings = list(processes.map(readings_of, KEPT, [asked.renders] * len(KEPT)))
    text = _text(readings, time.monotonic() - began)
    print(text)
    if asked.report:
        now = datetime.now(UTC)
        page = asked.report / f"{now:%Y-%m-%d}-memory.md"
        page.write_text(f"# Memory of {now:%Y-%m-%d}\n\n{text}\n", encoding="utf-8")
    return 0 if all(_growth_mb(one) <= BOUND_MB for one in readings) else 1


def readings_of(keep: int, renders: int) -> list[Reading]:
    """Render so many adapters and return the memory after every EVERY of them, in MB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases = _three(load_bases().get("miniature"), folder)
        engine = Engine(bases, keep=keep)
        adapters = _adapters(engine, folder, renders)
        readings: list[Reading] = []
        for number, adapter in enumerate(adapters, start=1):
            base = list(bases)[number // TURN % len(bases.by_id)]
            recipe = recipe_of(base, prompts=["a house"], seeds=[number], strengths=[0.0, 1.0])
            engine.render(recipe, [Layer(adapter)])
            adapter.unlink()
            if number % EVERY == 0:
                readings.append((number, _rss_mb()))
                print(f"keep={keep}: {number} renders, {_rss_mb():.0f} MB", file=sys.stderr)
        return readings


def _three(base: Base, folder: Path) -> Bases:
    """Return the miniature under three names, small and quick."""
    made = {}
    for name in ("one", "two", "three"):
        place = shutil.copytree(base.location, folder / name)
        made[name] = dataclasses.replace(
            base, id=name, location=str(place), steps=1, width=64, height=64
        )
    return Bases(made)


def _adapters(engine: Engine, folder: Path, count: int) -> Iterator[Path]:
    """Yield adapters, each different from all others, by every method in turn."""
    pipeline = engine.bases.get("one").pipeline
    made = [write(folder / f"{name}.st", changes(pipeline, name)) for name in METHODS]
    sources = cycle([*sorted(DEMO.glob("*.safetensors")), *made])
    del pipeline
    for number in range(count):
        yield changed_copy(next(sources), folder / f"{number}.safetensors", number)


def _rss_mb() -> float:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _growth_mb(readings: Sequence[Reading]) -> float:
    settled = next((size for number, size in readings if number >= SETTLED), readings[0][1])
    return readings[-1][1] - settled


def _text(readings: Sequence[Sequence[Reading]], seconds: float) -> str:
    numbers = [number for number, _ in readings[0]]
    head = ["renders", *(f"keep = {keep}" for keep in KEPT)]
    rows = [
        [str(number), *(f"{one[place][1]:.0f} MB" for one in readings)]
        for place, number in enumerate(numbers)
    ]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    verdicts = [
        f"With {keep} kept open it grew by {_growth_mb(one):.1f} MB from render {SETTLED} to "
        f"{numbers[-1]}: {'flat' if _growth_mb(one) <= BOUND_MB else 'NOT FLAT'} "
        f"(bound {BOUND_MB:.0f} MB)."
        for keep, one in zip(KEPT, readings, strict=True)
    ]
    intro = (
        "Written by `python -m benchmarks.memory`: resident memory of a process that renders with\n"
        f"adapters all different, by {len(METHODS) + 1} methods, over three bases in turns of "
        f"{TURN} renders.\n"
    )
    facts = [f"* {fact}" for fact in (*machine(), f"{seconds:.0f} s")]
    return "\n".join([intro, *facts, "", *lines, "", *verdicts])


if __name__ == "__main__":
    sys.exit(main())
