"""A long run of changed headers through parser and anatomy, with a dated report.

    python -m tools.fuzz.mutate --runs 1000000 --seed 1 --report docs/reports

Nothing but `HeaderError` may leave the parser, nothing at all the anatomy, and reading a header
may take at most 20 times its size and 32 MB. An input that breaks a rule is written to
`--keep` with its seed, and ends the run. A run that was stopped goes on where it was when it is
started with the same `--state` again.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tools.fuzz import reports
from tools.fuzz.checks import MEMORY_BYTES, MEMORY_TIMES, check, declared_size
from tools.fuzz.mutations import bulk, mutated
from tools.fuzz.seeds import CONFIGS

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = 2_000
#: For a header of a few megabytes at most, also where the machine is slow.
MOST_SECONDS = 20.0
#: One input in so many is large, one in so many is measured; both cost time.
LARGE_EVERY, MEASURED_EVERY = 1_000, 250


@dataclass
class Run:
    """What a run has seen.

    Attributes:
        seed: Of all inputs; each batch has its own random numbers from it.
        done: Inputs so far.
        seconds: Time that they took.
        answers: Answer to how often it was given.
        measured: Inputs whose memory was measured.
        most_bytes: Highest peak of memory of one input.
        most_times: Highest peak, less the fixed part, in sizes of its header.
        resident_bytes: What the process grew by after its first batch.
        slowest_s: CPU time of the slowest input.
        slowest_bytes: Its size.
    """

    seed: int
    done: int = 0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    measured: int = 0
    most_bytes: int = 0
    most_times: float = 0.0
    resident_bytes: int = 0
    slowest_s: float = 0.0
    slowest_bytes: int = 0

    def batch(self, size: int) -> None:
        """Try the next inputs.

        Raises:
            AssertionError: One of them broke a rule; `args` hold its bytes.
        """
        random = Random(f"{self.seed}:{self.done}")
        began = time.monotonic()
        for number in range(self.done, self.done + size):
            data = bulk(random) if number % LARGE_EVERY == LARGE_EVERY - 1 else mutated(random)
            config = random.choice(CONFIGS) if random.random() < 0.1 else None
            is_measured = number % MEASURED_EVERY == MEASURED_EVERY - 1
            try:
                answer = (self.measured_check if is_measured else self._timed)(data, config)
            except Exception as error:
                msg = f"Input {number} of seed {self.seed}: {type(error).__name__}: {error}"
                raise Broken(msg, data) from error
            self.answers[answer] += 1
        self.done += size
        self.seconds += time.monotonic() - began

    def _timed(self, data: bytes, config: bytes | None) -> str:
        began = time.process_time()
        answer = check(data, config=config)
        spent = time.process_time() - began
        if spent > self.slowest_s:
            self.slowest_s, self.slowest_bytes = spent, len(data)
        assert spent < MOST_SECONDS, f"{spent:.1f} s for {len(data):,} bytes"
        return answer

    def measured_check(self, data: bytes, config: bytes | None) -> str:
        """Check an input with its peak of memory."""
        size = declared_size(data)
        self._timed(data, config)  # what is kept from the first time is no peak
        tracemalloc.start()
        try:
            answer = check(data, size, config)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.measured += 1
        self.most_bytes = max(self.most_bytes, peak)
        self.most_times = max(self.most_times, peak / (len(data) + MEMORY_BYTES / MEMORY_TIMES))
        assert peak < MEMORY_TIMES * len(data) + MEMORY_BYTES, f"{peak:,} for {len(data):,} bytes"
        return answer


class Broken(AssertionError):
    """An input broke a rule."""

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(message)
        self.data = data


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; 1 when a rule is broken."""
    options = _parser().parse_args(arguments)
    run = _resumed(options.state, options.seed)
    resident = None
    while run.done < options.runs:
        try:
            run.batch(min(BATCH, options.runs - run.done))
        except Broken as broken:
            options.keep.mkdir(parents=True, exist_ok=True)
            path = options.keep / f"{run.seed}-{run.done}.safetensors"
            path.write_bytes(broken.data)
            reports.say(f"{broken}\nThe input is in {path}.")
            raise
        resident = resident or _resident_bytes()
        run.resident_bytes = max(run.resident_bytes, _resident_bytes() - resident)
        reports.say(_progress(run, options.runs))
        if options.state:
            options.state.write_text(json.dumps(vars(run)))
    if options.report:
        reports.say(f"written: {_write(run, options.report)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz.mutate", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, help="file to go on from")
    parser.add_argument("--report", type=Path, help="folder for a dated report")
    parser.add_argument("--keep", type=Path, default=Path("test-results"), help="for bad inputs")
    return parser


def _resumed(state: Path | None, seed: int) -> Run:
    run = Run(seed)
    if state and state.exists():
        kept: dict[str, Any] = json.loads(state.read_text())
        if kept["seed"] == seed:
            run = Run(**{**kept, "answers": Counter(kept["answers"])})
    return run


def _resident_bytes() -> int:
    """Highest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _progress(run: Run, runs: int) -> str:
    rate = run.done / max(run.seconds, 1e-9)
    left = (runs - run.done) / rate / 60
    accepted = run.answers["accepted"] / run.done
    return (
        f"{datetime.now(UTC):%H:%M:%S} {run.done:,} of {runs:,}, {rate:.0f}/s, {left:.0f} min left,"
        f" {accepted:.0%} accepted, peak {run.most_bytes / 1e6:.1f} MB,"
        f" slowest {run.slowest_s:.2f} s for {run.slowest_bytes:,} bytes"
    )


def _write(run: Run, folder: Path) -> Path:
    rate = run.done / max(run.seconds, 1e-9)
    body = f"""\
{run.done:,} changed headers (seed {run.seed}) in {run.seconds:,.0f} s, {rate:,.0f} a second.
Nothing but `HeaderError` left the parser, nothing at all the anatomy, and the official reader took
whatever was accepted.

The memory of {run.measured:,} of them was measured. The highest peak was {run.most_bytes / 1e6:.1f}
MB; the nearest to what is allowed ({MEMORY_TIMES} times the header and {MEMORY_BYTES / 1e6:.0f} MB)
took {run.most_times / MEMORY_TIMES:.0%} of that. After its first batch of {BATCH:,}
the process grew by {run.resident_bytes / 1e6:.1f} MB. The slowest input, of
{run.slowest_bytes:,} bytes, took {run.slowest_s:.2f} s of CPU time.

{reports.table(run.answers, "headers")}"""
    return reports.write(
        folder, name="fuzzing", title="Fuzzing", module="tools.fuzz.mutate", body=body
    )


if __name__ == "__main__":
    sys.exit(main())
