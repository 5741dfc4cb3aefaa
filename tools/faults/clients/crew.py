"""Clients that bring one file after the other while something is wrong with the hub."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from tools.faults.clients.client import Client, Ledger, Sent
from tools.faults.clients.payloads import payload
from tools.faults.clients.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tools.faults.clients.payloads import Payload
    from tools.faults.servers.hubs import FaultyHub
    from tools.faults.trials import Plan, Trial

#: Seconds that a check may stay open whose end the database did not take: a lease, and a sweep.
LEASE_S = 45.0

#: Seconds that bytes without a row may be on their way to one, of a process that was killed.
ARRIVAL_S = 330.0

#: Every so many files a client gives one up in its middle, or sends one that others have.
DROPS, SHARES = 0.1, 0.15
#: Files that several clients send.
SHARED = 5
#: Files of an adapter, as its versions.
VERSIONS = 5


@dataclass
class Crew:
    """Clients that send one file after the other until they are told to stop.

    Attributes:
        sizes: Least and most bytes of a file.
        dropped: Uploads that were begun and given up.
    """

    folder: Path
    sizes: tuple[int, int]
    ledger: Ledger = field(default_factory=Ledger)
    stages: Stages = field(default_factory=Stages)
    stopping: threading.Event = field(default_factory=threading.Event)
    clients: list[Client] = field(default_factory=list)
    shared: list[Payload] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    jobs: list[Future[None]] = field(default_factory=list)

    def work(self, client: Client) -> None:
        """Send files; the last one is brought to its end."""
        number = 0
        while not self.stopping.is_set():
            number += 1
            sent = Sent(self._file(client, number), by_parts=client.random.random() < 0.6)
            if client.random.random() < DROPS:
                self._drop(client, sent)
            else:
                client.run(sent, f"adapter{number // VERSIONS}")

    def is_over(self) -> bool:
        """Whether nobody works any more."""
        return all(job.done() for job in self.jobs)

    def _file(self, client: Client, number: int) -> Payload:
        path = f"{client.name}-{number}.safetensors"
        if client.random.random() < SHARES:
            return replace(client.random.choice(self.shared), path=path)
        return payload(self.folder, client.random, path, client.random.randrange(*self.sizes))

    def _drop(self, client: Client, sent: Sent) -> None:
        """Begin a file and never come back to it."""
        sent.payload = replace(sent.payload, path=f"dropped-{sent.payload.path}")
        while not sent.id and not self.stopping.is_set():
            client.begin(sent)
        if sent.id:
            self.dropped.append(sent.id)


@contextmanager
def at_work(
    plan: Plan,
    hub: FaultyHub,
    trial: Trial,
    *,
    clients: int,
    sizes: tuple[int, int],
    pause_s: float = 0.0,
) -> Iterator[Crew]:
    """Have clients at work, and have them end what they are at.

    Args:
        plan: Of the run.
        hub: A running one.
        trial: Where a client that gives up is written down.
        clients: How many.
        sizes: Least and most bytes of a file.
        pause_s: Longest pause between two pieces of a body, in seconds.
    """
    random = Random(plan.seed)
    crew = Crew(plan.folder, sizes)
    names = [f"user{number}" for number in range(clients)]
    for name, caller in zip(names, hub.callers(*names), strict=True):
        own = Random(random.random())
        crew.clients.append(Client(name, caller, own, crew.ledger, crew.stages, pause_s))
    crew.shared = [payload(plan.folder, random, "shared", sizes[0]) for _ in range(SHARED)]
    with ThreadPoolExecutor(clients) as pool:
        crew.jobs = [pool.submit(crew.work, client) for client in crew.clients]
        try:
            yield crew
        finally:
            crew.stopping.set()
    for client, job in zip(crew.clients, crew.jobs, strict=True):
        if (error := job.exception()) is not None:
            trial.faults.append(f"{client.name} gave up: {error!r}")


def verify(
    hub: FaultyHub, crew: Crew, trial: Trial, *, allowed: frozenset[int] = frozenset()
) -> None:
    """Look at every row and at the bytes of every version, then sweep and look again.

    Args:
        hub: Back in order.
        crew: Done.
        trial: Where figures and faults are written down.
        allowed: Statuses from 500 on that this trouble excuses.
    """
    ledger = crew.ledger
    for what in ("requests", "requests cut off", "parts acknowledged", "uploads acknowledged",
                 "versions acknowledged", "checks given up"):  # fmt: skip
        trial.numbers[what] = ledger.done[what]
    _see(hub, trial)
    trial.expect(ledger.done["versions acknowledged"], "nothing was published")
    reader = crew.clients[0]
    for path, file in ledger.published.items():
        trial.expect(reader.download(path) == file.sha256, f"{path} has other bytes")
    trial.numbers["versions downloaded and compared"] = len(ledger.published)
    _sweep(hub, crew, trial)
    trial.faults += ledger.faults
    trial.numbers["answers of 500 and more"] = len(ledger.server_errors)
    trial.faults += [text for status, text in ledger.server_errors if status not in allowed]
    trial.faults += [f"the log tells of error {number}" for number in hub.surprises()]


def _open_checks(hub: FaultyHub) -> list[str]:
    """Return checks that stay open; one whose end could not be written ends with its lease."""
    until = time.monotonic() + LEASE_S
    while True:
        jobs = hub.probe.ask("audit")["open jobs"]
        checks = [job for job in jobs if job.startswith("check_upload")]
        if not checks or time.monotonic() > until:
            return checks
        time.sleep(1)


def _see(hub: FaultyHub, trial: Trial) -> None:
    found = hub.probe.ask("audit")
    trial.numbers["uploads"] = found["uploads"]
    trial.numbers["versions"] = found["versions"]
    trial.numbers["checks begun again"] = found["begun again"]
    trial.numbers["most attempts at one check"] = found["most attempts"]
    trial.faults += [f"left open: {job}" for job in _open_checks(hub)]
    trial.faults += found["faults"]
    trial.expect(not found["versions"].get("draft"), "a draft was left behind")


def _swept(hub: FaultyHub) -> list[str]:
    """Sweep until nothing is an orphan, or what may be on its way to a row has had its time."""
    until = time.monotonic() + ARRIVAL_S
    while True:
        for _ in range(2):  # marks what lost its last reference, then lets it go
            hub.probe.ask("sweep")
        orphans: list[str] = hub.probe.ask("orphans")
        if not orphans or time.monotonic() > until:
            return orphans
        time.sleep(5)


def _sweep(hub: FaultyHub, crew: Crew, trial: Trial) -> None:
    """Let a week go by: what was given up is gone, and nothing else."""
    hub.probe.ask("give_up", uploads=crew.dropped)
    orphans = _swept(hub)
    trial.numbers["uploads given up in their middle"] = len(crew.dropped)
    trial.numbers["orphans after the grace period"] = len(orphans)
    trial.faults += [f"{name} is an orphan" for name in orphans]
    after = hub.probe.ask("audit")
    trial.faults += [f"after the sweep: {fault}" for fault in after["faults"]]
    states = set(after["uploads"])
    ends = {"accepted", "cancelled", "expired", "refused"}
    trial.expect(states <= ends, f"uploads are stuck: {after['uploads']}")
