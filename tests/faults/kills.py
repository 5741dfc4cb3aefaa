"""Processes killed in the middle of everything, hundreds of times."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from statistics import median
from typing import TYPE_CHECKING

from tests.faults.clients import Client, Ledger, Sent
from tests.faults.payloads import payload
from tests.faults.stages import PHASES, Stages

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.hubs import FaultyHub
    from tests.faults.payloads import Payload
    from tests.faults.trials import Plan, Trial

__all__ = ["Crew", "run", "verify"]

CLIENTS = 6
PART_BYTES = 128 * 1024
#: Sizes of files in bytes.
SMALLEST, LARGEST = 200_000, 3_000_000
#: Pause between two pieces of a body, in seconds at most.
SLOWNESS_S = 0.008
#: What is killed, and how often one is against the others.
KINDS = {"web": 3, "a web process": 3, "worker": 3, "both": 2}
#: A kill comes up to this many usual lengths after a phase begins.
BEYOND = 1.3
#: Seconds until nobody begins a phase any more: then the kill comes without.
PATIENCE_S = 10.0
#: Kills between two sweeps without a grace period.
SWEEP_EVERY = 20
#: Every so many files a client gives one up in its middle, or sends one that others have.
DROPS, SHARES = 0.1, 0.15
#: Files that several clients send.
SHARED = 5


@dataclass
class Crew:
    """Clients that send one file after the other until they are told to stop."""

    folder: Path
    clients: list[Client]
    shared: list[Payload]
    stopping: threading.Event = field(default_factory=threading.Event)
    dropped: list[str] = field(default_factory=list)

    def work(self, client: Client) -> None:
        """Send files; the last one is brought to its end."""
        number = 0
        while not self.stopping.is_set():
            number += 1
            sent = Sent(self._file(client, number), by_parts=client.random.random() < 0.6)
            if client.random.random() < DROPS:
                self._drop(client, sent)
            else:
                client.run(sent, f"adapter{number // 5}")

    def _file(self, client: Client, number: int) -> Payload:
        path = f"{client.name}-{number}.safetensors"
        if client.random.random() < SHARES:
            same = client.random.choice(self.shared)
            return type(same)(path, same.data, same.sha256)
        size = client.random.randrange(SMALLEST, LARGEST)
        return payload(self.folder, client.random, path, size)

    def _drop(self, client: Client, sent: Sent) -> None:
        """Begin a file and never come back to it."""
        sent.payload = type(sent.payload)(
            f"dropped-{sent.payload.path}", sent.payload.data, sent.payload.sha256
        )
        while not sent.id and not self.stopping.is_set():
            client.begin(sent)
        self.dropped.append(sent.id)


def run(plan: Plan, trial: Trial) -> None:
    """Kill at random moments; in the end everything that was acknowledged must be there."""
    random = Random(plan.seed)
    with plan.ground.hub("kills", UPLOAD_PART_BYTES=str(PART_BYTES)) as hub:
        stages, ledger = Stages(), Ledger()
        names = [f"user{number}" for number in range(CLIENTS)]
        clients = [
            Client(name, caller, Random(random.random()), ledger, stages, SLOWNESS_S)
            for name, caller in zip(names, hub.callers(*names), strict=True)
        ]
        shared = [payload(plan.folder, random, "", 400_000) for _ in range(SHARED)]
        crew = Crew(plan.folder, clients, shared)
        with ThreadPoolExecutor(CLIENTS) as pool:
            working = [pool.submit(crew.work, client) for client in clients]
            try:
                _kill(hub, plan.kills, stages, random, trial, working)
            finally:
                crew.stopping.set()
        for client, job in zip(clients, working, strict=True):
            if (error := job.exception()) is not None:
                trial.faults.append(f"{client.name} gave up: {error!r}")
        verify(hub, ledger, clients[0], trial, dropped=crew.dropped)


def _kill(
    hub: FaultyHub,
    kills: int,
    stages: Stages,
    random: Random,
    trial: Trial,
    working: list[Future[None]],
) -> None:
    killed, hit, sweeps = Counter[str](), Counter[str](), 0
    until = time.monotonic() + 3 + 10 * kills
    for number in range(kills):
        if time.monotonic() > until or all(job.done() for job in working):
            trial.faults.append(f"only {number} of {kills} kills were possible")
            break
        kind = random.choices(list(KINDS), weights=list(KINDS.values()))[0]
        phase = random.choice(PHASES)
        stages.await_one(phase, PATIENCE_S)
        time.sleep(random.random() * BEYOND * stages.typical_s(phase))
        hit.update(stages.now() or ["nothing"])
        _kill_one(hub, kind, random)
        killed[kind] += 1
        if number % SWEEP_EVERY == SWEEP_EVERY - 1:
            hub.probe.ask("sweep")
            sweeps += 1
    trial.numbers["kills"] = dict(killed)
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


def verify(
    hub: FaultyHub, ledger: Ledger, client: Client, trial: Trial, *, dropped: list[str]
) -> None:
    """Look at every row and at the bytes of every version, then sweep and look again."""
    counted = ledger.done
    for what in ("requests", "requests cut off", "parts acknowledged", "uploads acknowledged",
                 "versions acknowledged", "checks given up"):  # fmt: skip
        trial.numbers[what] = counted[what]
    _see(hub, trial)
    trial.expect(counted["versions acknowledged"] > 0, "nothing was published")
    wrong = [
        path for path, file in ledger.published.items() if client.download(path) != file.sha256
    ]
    trial.numbers["versions downloaded and compared"] = len(ledger.published)
    trial.faults += [f"{path} has other bytes" for path in wrong]
    hub.probe.ask("give_up", uploads=dropped)
    for _ in range(2):  # marks what lost its last reference, then lets it go
        hub.probe.ask("sweep")
    orphans = hub.probe.ask("orphans")
    trial.numbers["uploads given up in their middle"] = len(dropped)
    trial.numbers["orphans after the grace period"] = len(orphans)
    trial.faults += [f"{name} is an orphan" for name in orphans]
    after = hub.probe.ask("audit")
    trial.faults += [f"after the sweep: {fault}" for fault in after["faults"]]
    trial.expect(
        set(after["uploads"]) <= {"accepted", "expired", "refused"},
        f"uploads are stuck: {after['uploads']}",
    )
    trial.faults += ledger.faults
    trial.numbers["answers of 500 and more"] = len(ledger.server_errors)
    trial.faults += ledger.server_errors
    trial.faults += [f"the log tells of error {number}" for number in hub.surprises()]


def _see(hub: FaultyHub, trial: Trial) -> None:
    found = hub.probe.ask("audit")
    trial.numbers["uploads"] = found["uploads"]
    trial.numbers["versions"] = found["versions"]
    trial.numbers["checks begun again"] = found["begun again"]
    trial.numbers["most attempts at one check"] = found["most attempts"]
    checks = [job for job in found["open jobs"] if job.startswith("check_upload")]
    trial.faults += [f"left open: {job}" for job in checks]
    trial.faults += found["faults"]
    trial.expect(not found["versions"].get("draft"), "a draft was left behind")
