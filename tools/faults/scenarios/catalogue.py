"""Processes that change adapters at random and are killed at random moments.

Documents of the search, its index and the counters of filters must agree with the adapters then.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from random import Random
from typing import IO, TYPE_CHECKING

from tests.running import ROOT
from tools.faults.rows.writer import REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.faults.servers.hubs import FaultyHub
    from tools.faults.trials import Plan, Trial

#: Processes that write at a time, and what they write all together.
WRITERS, WRITES, SHORT_WRITES = 4, 10_000, 300
#: Writes of a process until it is killed, at most, and the seconds that it then still has.
LIFE, SHORT_LIFE, LAST_S = 400, 60, 0.1
#: Seconds that a check of 10,000 writes may take.
CHECK_S = 600
#: Probes of the doctor that compare what is stored.
PROBES = frozenset({
    "database", "guards", "names", "search", "facets", "bytes", "pieces", "anatomies", "hashes",
})  # fmt: skip


class _Writer:
    """A process that writes, and what it said of its writes."""

    def __init__(self, environ: Mapping[str, str], seed: int, done: Counter[str]) -> None:
        self.own, self.done = 0, done
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.faults.rows.writer", str(seed)],
            cwd=ROOT,
            env=dict(environ),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout,))
        self.reader.start()

    def _read(self, said: IO[str]) -> None:
        for line in said:
            self.own += 1
            if line.strip() != REFUSED:
                self.done[line.strip()] += 1
        said.close()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait()
        self.reader.join()


def run(plan: Plan, trial: Trial) -> None:
    """Write and kill; afterwards nothing may differ."""
    hub = plan.environment.hub("catalogue")
    done, kills = _written(hub, plan, trial)
    trial.numbers["writes"] = done.total()
    trial.numbers["of these"] = dict(done)
    trial.numbers["writers killed"] = kills
    found = json.loads(_run(hub, trial, "search", "check", "--json").stdout or "{}")
    trial.numbers["adapters"] = found["adapters"]
    trial.expect(found["ok"], f"search check: {found}")
    counters = _run(hub, trial, "facets", "check")
    trial.expect(counters.returncode == 0, f"facets check: {counters.stdout}")
    doctor = _run(hub, trial, "doctor", "--deep", "--json")
    reports = json.loads(doctor.stdout or "{}")["reports"]
    for report in reports:
        is_well = report["probe"] not in PROBES or report["state"] == "ok"
        trial.expect(is_well, f"doctor: {report['probe']}: {report['message']}")


def _written(hub: FaultyHub, plan: Plan, trial: Trial) -> tuple[Counter[str], int]:
    """Return what was written, and how many writers were killed meanwhile."""
    random, done, seeds = Random(plan.seed), Counter[str](), iter(range(plan.seed, sys.maxsize))
    most = SHORT_WRITES if plan.is_short else WRITES
    life = SHORT_LIFE if plan.is_short else LIFE
    until = time.monotonic() + plan.most_s
    lives: dict[_Writer, int] = {}
    kills = 0
    try:
        while done.total() < most and time.monotonic() < until:
            while len(lives) < WRITERS:
                lives[_Writer(hub.environ, next(seeds), done)] = random.randrange(life)
            time.sleep(0.02)
            for writer, writes in list(lives.items()):
                if writer.process.poll() is not None:
                    trial.faults.append(f"a writer ended by itself: {writer.process.returncode}")
                    return done, kills
                if writer.own > writes:
                    time.sleep(random.random() * LAST_S)
                    writer.kill()
                    del lives[writer]
                    kills += 1
    finally:
        for writer in lives:
            writer.kill()
    trial.expect(done.total() >= most, f"only {done.total()} of {most} writes were possible")
    return done, kills + len(lives)


def _run(hub: FaultyHub, trial: Trial, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the hub, which must print something."""
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=hub.environ,
        capture_output=True,
        text=True,
        timeout=CHECK_S,
        check=False,
    )
    trial.expect(done.stdout, f"{command}: {done.stderr[-2000:]}")
    return done
