"""Renders under fire: workers killed, wake-ups doubled, the broker lost, somebody waiting.

    python -m tools.faults.renders --jobs 1000 --seed 1 --report docs/reports

A queue full of previews and of cover sheets of packs, two workers that are ended with SIGKILL and
SIGTERM by turns, every wake-up sent twice or more, a Redis that is killed and comes back empty, and
people who try a version or a pack meanwhile. In the end each job must have ended once, with each of
its pictures once and whole. How long people waited is compared with the length of a batch job.
Everything random comes from the seed, but not when processes get their turns.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import django

from benchmarks.results import machine
from tools.faults.servers.processes import Broker, Workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.faults.scene import Outcome, Scene

WORKERS = 2
#: Seconds that the broker is away.
AWAY_S = 3.0
TICK_S = 0.1
#: Waits that say too little to be judged.
FEW = 30
#: Share of people who may wait longer than a batch job takes: a worker that was killed needs time
#: to start again, which no job counts.
LATE = 0.05
#: Workers that end by themselves, after which nothing will come of it.
MOST_FAILURES = 3


@dataclass(frozen=True)
class Plan:
    """What is done to the hub, and for how long at most."""

    jobs: int
    seed: int
    kill_every_s: float
    ask_every_s: float
    broker_restarts: int
    most_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; 1 when a promise is broken."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the workers are ended as well
    plan = Plan(
        options.jobs,
        options.seed,
        options.kill_every,
        options.ask_every,
        options.broker_restarts,
        options.most,
    )
    _say(f"seed {plan.seed}")
    folder = Path(mkdtemp(prefix="lorary-faults-"))
    with Broker(folder) as broker:
        run = _run(plan, folder, broker)
    if run.faults:
        _say(f"kept to look into: {folder}")
    else:
        rmtree(folder)
    for line in run.lines():
        _say(line)
    if options.report:
        _say(f"written: {_write(run, options.report)}")
    return 1 if run.faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.faults.renders", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="renders in the queue (1000)")
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--kill-every", type=float, default=20, metavar="S", help="seconds (20)")
    parser.add_argument("--ask-every", type=float, default=5, metavar="S", help="seconds (5)")
    parser.add_argument("--broker-restarts", type=int, default=2, metavar="N", help="times (2)")
    parser.add_argument("--most", type=float, default=900, metavar="S", help="give up after (900)")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="also write a dated page")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@dataclass
class Run:
    """A run and what was found."""

    plan: Plan
    found: Outcome
    seconds: float
    kills: int
    drains: int
    restarts: int
    wakes: int

    @property
    def faults(self) -> list[str]:
        """Broken promises."""
        found, plan = self.found, self.plan
        faults = list(found.faults)
        if found.batch != plan.jobs:
            faults.append(f"{found.batch} of {plan.jobs} jobs were begun and ended")
        if len(found.waits_s) < FEW:
            return faults
        if statistics.median(found.waits_s) >= found.typical_s:
            faults.append("most people waited longer than a batch job takes")
        if found.late > LATE * len(found.waits_s):
            faults.append(f"{found.late} people waited longer than the batch jobs meanwhile took")
        return faults

    def lines(self) -> list[str]:
        """Return the result in words."""
        found, waits = self.found, self.found.waits_s or [0.0]
        again = sum(count for attempt, count in found.attempts.items() if attempt > 1)
        within = sum(wait < found.typical_s for wait in waits)
        faults, every = self.faults, f"one every {self.plan.kill_every_s:g} s or so"
        verdict = "each job ended once, no picture is there twice or missing"
        waiting = (
            f"an interactive one waits {statistics.median(waits):.2f} s (median), at most "
            f"{max(waits):.2f} s; {len(waits) - found.late} of {len(waits)} wait less than a batch "
            f"job that runs meanwhile, {within} less than the median one"
        )
        return [
            f"{len(faults)} promises broken" if faults else verdict,
            f"{found.batch} batch and {found.interactive} interactive jobs in {self.seconds:.0f} s",
            f"{found.pictures} pictures, all whole",
            f"{self.kills} workers killed at a job, {self.drains} ended by SIGTERM, {every}",
            f"{again} jobs begun again",
            f"{self.wakes} wake-ups on top of one for each job",
            f"broker lost {self.restarts} times, with all that was in it",
            f"a batch job takes {found.typical_s:.2f} s (median), {found.longest_s:.2f} s at most",
            waiting,
            *faults[:20],
        ]


def _run(plan: Plan, folder: Path, broker: Broker) -> Run:
    environ = {
        "DJANGO_SETTINGS_MODULE": "hub.settings.base",
        "LORARY_DATA": str(folder / "data"),
        "LORARY_BASES": str(folder / "bases.toml"),
        "LORARY_BROKER_URL": broker.url,
        "LORARY_LOG_LEVEL": "ERROR",
        "LORARY_TRYOUTS_OPEN": "100",
        "LORARY_TRYOUTS_PER_DAY": "10000",
        "LORARY_TRY_STRANGERS": "1000",
    }
    kept = {key: text for key, text in os.environ.items() if not key.startswith("LORARY_")}
    os.environ.clear()
    os.environ.update(kept | environ)
    django.setup()
    from tools.faults import scene as scenes  # noqa: PLC0415 - models need the settings above

    scenes.write_bases(folder)
    scene = scenes.build(folder, plan.jobs, random.Random(plan.seed))
    scene.queue_batch()
    _say(f"{plan.jobs} jobs are queued")
    began = time.monotonic()
    with Workers(WORKERS, os.environ, folder / "workers.log") as workers:
        _Storm(plan, scene, workers, broker).rage()
        seconds = time.monotonic() - began
    found = scenes.outcome()
    if found.faults:
        _say((folder / "workers.log").read_text(errors="replace")[-4000:])
    return Run(plan, found, seconds, workers.kills, workers.drains, broker.restarts, scene.wakes)


class _Storm:
    """What happens while the workers work."""

    def __init__(self, plan: Plan, scene: Scene, workers: Workers, broker: Broker) -> None:
        self.plan, self.scene, self.workers, self.broker = plan, scene, workers, broker
        self.random = random.Random(plan.seed + 1)
        self.ends_at = time.monotonic() + plan.most_s
        self.kill_at = self.ask_at = 0.0
        self.victim = 0

    def rage(self) -> None:
        """Go on until nothing is open."""
        left = said = self.scene.open_jobs()
        is_raging = False
        while left and time.monotonic() < self.ends_at:
            if self.workers.tend() > MOST_FAILURES:
                return
            if is_raging:
                self._kill()
                self._ask(left)
                self._lose_broker(left)
            elif self._are_warm():
                is_raging = True
                self.kill_at = time.monotonic() + self.plan.kill_every_s
            time.sleep(TICK_S)
            left = self.scene.open_jobs()
            if left <= said - self.plan.jobs // 10:
                _say(f"{left} jobs are open, {self.workers.kills} workers killed")
                said = left

    def _kill(self) -> None:
        """End the next one in the middle of a job, once both have ended two since their start.

        Each is killed and asked to end by turns.

        One that is killed while it starts loses nothing, and with both away all is about starting.
        """
        if time.monotonic() >= self.kill_at and self._are_warm():
            (self.workers.kill, self.workers.drain)[self.victim // WORKERS % 2](self.victim)
            self.victim += 1
            self.kill_at = time.monotonic() + self.plan.kill_every_s * self.random.uniform(0.7, 1.3)

    def _are_warm(self) -> bool:
        pids = [self.workers.pid_of(number) for number in range(WORKERS)]
        return all(pid is not None and self.scene.is_warm(pid) for pid in pids)

    def _ask(self, left: int) -> None:
        """Ask while both workers have enough to do: otherwise there is nothing to wait for."""
        if time.monotonic() >= self.ask_at and left > WORKERS * 2:
            self.scene.ask()
            self.ask_at = time.monotonic() + self.plan.ask_every_s * self.random.uniform(0.5, 1.5)

    def _lose_broker(self, left: int) -> None:
        share = (self.broker.restarts + 1) / (self.plan.broker_restarts + 1)
        done = 1 - left / self.plan.jobs
        if self.broker.restarts < self.plan.broker_restarts and done >= share:
            self.broker.restart(AWAY_S)


def _write(run: Run, folder: Path) -> Path:
    now = datetime.now(tz=UTC)
    page = folder / f"{now:%Y-%m-%d}-renders-under-fire.md"
    facts = [*machine(), f"seed {run.plan.seed}"]
    lines = [
        f"# Renders under fire, {now:%Y-%m-%d}",
        "",
        "Written by `python -m tools.faults.renders --report docs/reports` (`make faults`).",
        "",
        *(f"* {fact}" for fact in facts),
        "",
        *(f"* {line}" for line in run.lines()),
        "",
    ]
    page.write_text("\n".join(lines), encoding="utf-8")
    return page


if __name__ == "__main__":
    sys.exit(main())
