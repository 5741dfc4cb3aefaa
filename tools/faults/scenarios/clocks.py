"""Clocks that jump: leases that ran out too early, or would last for hours."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tools.faults.clients.crew import at_work, verify
from tools.faults.trials import Skipped

if TYPE_CHECKING:
    from tools.faults.trials import Plan, Trial

CLIENTS = 4
#: Files whose checks take long enough to be taken over in their middle.
SIZES, SHORT_SIZES = (8_000_000, 24_000_000), (2_000_000, 8_000_000)
JUMPS_S = (-7200, -60, 0, 60, 7200)
EVERY_S, LONG_S, SHORT_S = 1.5, 40.0, 6.0


def jumping(plan: Plan, trial: Trial) -> None:
    """Two workers and the web server disagree about the time, another way every moment.

    libfaketime stands before the C library of each process; only the wall clock jumps.
    """
    library = _library()
    files = [plan.folder / f"clock{number}" for number in range(3)]
    for file in files:
        _set(file, 0)
    random = Random(plan.seed)
    sizes = SHORT_SIZES if plan.is_short else SIZES
    hub = plan.environment.hub("clocks", workers=2, JOB_LEASE_S="5")
    hub.extra = [_faked(library, file) for file in files[:2]]
    hub.web_extra = _faked(library, files[2])
    with hub:
        with at_work(plan, hub, trial, clients=CLIENTS, sizes=sizes) as crew:
            until = time.monotonic() + (SHORT_S if plan.is_short else LONG_S)
            jumps = 0
            while time.monotonic() < until:
                file, offset = random.choice(files), random.choice(JUMPS_S)
                _set(file, offset)
                hub.probe.ask("wake", name="checks", times=2)
                jumps += 1
                time.sleep(random.random() * EVERY_S)
            for file in files:
                _set(file, 0)
        trial.numbers["jumps (libfaketime)"] = jumps
        # A bucket refuses requests whose time is off by a quarter of an hour; they come again.
        verify(hub, crew, trial, allowed=frozenset({503} if plan.environment.has_bucket else ()))
        for worker in hub.workers:
            trial.expect(worker.poll() is None, f"a worker ended by itself: {worker.returncode}")


def _set(file: Path, offset_s: int) -> None:
    """Set a clock; whoever reads the file meanwhile finds the whole of it."""
    whole = file.with_suffix(".new")
    whole.write_text(f"{offset_s:+d}s\n")
    whole.replace(file)


def _library() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if sys.platform != "linux" or not found:
        message = "libfaketime is not installed (apt-get install faketime)"
        raise Skipped(message)
    return found[0]


def _faked(library: Path, file: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",  # seconds; else each look at a clock reads the file
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
