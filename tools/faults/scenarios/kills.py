"""Processes killed in the middle of everything, hundreds of times."""

from __future__ import annotations

import time
from collections import Counter
from random import Random
from statistics import median
from typing import TYPE_CHECKING

from tools.faults.clients.crew import at_work, verify
from tools.faults.clients.stages import PHASES

if TYPE_CHECKING:
    from tools.faults.clients.crew import Crew
    from tools.faults.servers.hubs import FaultyHub
    from tools.faults.trials import Plan, Trial

CLIENTS = 6
PART_BYTES = 128 * 1024
#: Sizes of files in bytes; where parts are larger, so are they.
SIZES, LARGER = (200_000, 3_000_000), (200_000, 12_000_000)
#: Pause between two pieces of a body, in seconds at most: slow ones have more in their middle.
SLOWNESS_S = 0.008
#: What is killed, and how often one is against the others.
KINDS = {"web": 3, "a web process": 3, "worker": 3, "both": 2}
#: A kill comes up to this many usual lengths after a phase begins.
BEYOND = 1.3
#: Seconds until nobody begins a phase any more: then the kill comes without.
PATIENCE_S = 10.0
#: Kills between two sweeps without a grace period.
SWEEP_EVERY = 20


def run(plan: Plan, trial: Trial) -> None:
    """Kill at random moments; in the end everything that was acknowledged must be there."""
    environment = plan.environment
    sizes = LARGER if environment.has_bucket else SIZES
    with environment.hub("kills", UPLOAD_PART_BYTES=environment.part_bytes(PART_BYTES)) as hub:
        with at_work(plan, hub, trial, clients=CLIENTS, sizes=sizes, pause_s=SLOWNESS_S) as crew:
            _kill(hub, plan, crew, trial)
        verify(hub, crew, trial)


def _kill(hub: FaultyHub, plan: Plan, crew: Crew, trial: Trial) -> None:
    killed, hit, sweeps = Counter[str](), Counter[str](), 0
    random, until = Random(plan.seed), time.monotonic() + plan.most_s
    for number in range(plan.kills):
        if time.monotonic() > until:
            trial.numbers["kills that the time was too short for"] = plan.kills - number
            break
        if crew.is_over():
            trial.faults.append(f"only {number} of {plan.kills} kills were possible")
            break
        kind = random.choices(list(KINDS), weights=list(KINDS.values()))[0]
        phase = random.choice(PHASES)
        crew.stages.await_one(phase, PATIENCE_S)
        time.sleep(random.random() * BEYOND * crew.stages.typical_s(phase))
        hit.update(crew.stages.now() or ["nothing"])
        _kill_one(hub, kind, random)
        killed[kind] += 1
        if number % SWEEP_EVERY == SWEEP_EVERY - 1:
            hub.probe.ask("sweep")
            sweeps += 1
    trial.numbers["kills"] = killed.total()
    trial.numbers["of these"] = dict(killed)
    trial.numbers["clients were then at"] = dict(hit)
    trial.numbers["sweeps without a grace period meanwhile"] = sweeps
    trial.numbers["restart of the web server, median s"] = median(hub.restarts_s)
    trial.numbers["restart of the web server, longest s"] = max(hub.restarts_s)


def _kill_one(hub: FaultyHub, kind: str, random: Random) -> None:
    if kind == "a web process":
        hub.kill_web_process(random.randrange(8))
        return
    if kind in {"worker", "both"}:
        hub.kill_worker()
    if kind in {"web", "both"}:
        hub.kill_web()
    if kind in {"worker", "both"}:
        hub.start_worker()
    if kind in {"web", "both"}:
        hub.start()
