"""Thirty-two clients at once, some of whom hang up in the middle of a word."""

from __future__ import annotations

import hashlib
import http.client
import socket
import struct
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from tools.faults.clients.client import Client, Ledger, Lost, Sent, fetch
from tools.faults.clients.payloads import payload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.talk import Caller
    from tools.faults.clients.payloads import Payload
    from tools.faults.trials import Plan, Trial

CLIENTS, USERS = 32, 8
PART_BYTES = 256 * 1024
SMALLEST, LARGEST = 100_000, 2_000_000
#: Share of transfers whose connection is broken, and of turns that upload.
BROKEN, UPLOADS = 0.05, 0.2
BLOCK = 64 * 1024
FIRST_FILES = 4


@dataclass
class Crowd:
    """Everybody, and the files that are there to be downloaded."""

    folder: Path
    ledger: Ledger
    until: float
    waits_s: list[float] = field(default_factory=list)
    moved: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def some_file(self, random: Random) -> tuple[str, Payload]:
        """Return one that is published."""
        with self.ledger.lock:
            return random.choice(list(self.ledger.published.items()))

    def took(self, what: str, began: float, size: int) -> None:
        """Write down a transfer."""
        with self.lock:
            self.waits_s.append(time.monotonic() - began)
            self.moved[what] += size

    def broke(self) -> None:
        """Write down that somebody hung up."""
        self.ledger.count("connections broken by clients")


@dataclass
class Person:
    """One of them."""

    crowd: Crowd
    client: Client
    number: int
    turns: int = 0

    def act(self) -> None:
        """Upload or download until the time is over."""
        while time.monotonic() < self.crowd.until:
            self.turns += 1
            if self.client.random.random() < UPLOADS:
                self.upload()
            else:
                self.download()

    def upload(self) -> None:
        """Bring a file in and publish it; now and then hang up in the middle first."""
        random = self.client.random
        path = f"{self.number}-{self.turns}.safetensors"
        file = payload(self.crowd.folder, random, path, random.randrange(SMALLEST, LARGEST))
        sent = Sent(file, by_parts=random.random() < 0.5)
        began = time.monotonic()
        if random.random() < BROKEN:
            self._hang_up(sent)
        self.client.run(sent, f"crowd{self.number}-{self.turns // 10}")
        self.crowd.took("uploaded", began, len(file.data))

    def _hang_up(self, sent: Sent) -> None:
        """Send a body up to a random byte and reset the connection."""
        try:
            self.client.announce(sent)
        except Lost:
            return
        data = sent.payload.data
        sent.by_parts = False
        cut_upload(
            self.client.caller,
            f"/api/v1/uploads/{sent.id}/content",
            data,
            self.client.random.randrange(len(data)),
        )
        self.crowd.broke()

    def download(self) -> None:
        """Fetch a file and compare; now and then hang up and go on from there."""
        random = self.client.random
        where, file = self.crowd.some_file(random)
        cut = random.randrange(len(file.data)) if random.random() < BROKEN else None
        began = time.monotonic()
        digest = hashlib.sha256()
        try:
            size = sum(self._blocks(where, digest, 0, cut, file))
            if cut is not None:
                self.crowd.broke()
                size += sum(self._blocks(where, digest, size, None, file))
        except (OSError, http.client.HTTPException) as error:
            self.crowd.ledger.fault(f"{where} broke off by itself: {error!r}")
            return
        if digest.hexdigest() != file.sha256:
            self.crowd.ledger.fault(f"{where} arrived as other bytes (cut at {cut})")
        self.crowd.ledger.count("downloads compared")
        self.crowd.took("downloaded", began, size)

    def _blocks(
        self, where: str, digest: hashlib._Hash, start: int, stop: int | None, file: Payload
    ) -> Iterator[int]:
        """Yield lengths of what arrives from ``start`` on, up to ``stop``."""
        headers = {"Range": f"bytes={start}-", "If-Range": f'"{file.sha256}"'} if start else {}
        connection, response = fetch(self.client.caller, where, headers)
        try:
            if response.status != (206 if start else 200):
                error = (response.status, f"GET {where}: {response.status}")
                self.crowd.ledger.server_errors.append(error)
                return
            left = len(file.data) if stop is None else stop
            while left and (block := response.read(min(BLOCK, left))):
                digest.update(block)
                left -= len(block)
                yield len(block)
        finally:
            connection.close()


def cut_upload(caller: Caller, path: str, data: bytes, stop: int) -> None:
    """Send a body up to a byte, then reset the connection: the other side gets no answer in."""
    head = [
        f"PUT {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {caller.token}",
        f"Content-Length: {len(data)}",
    ]
    with socket.create_connection(("127.0.0.1", caller.port), timeout=60) as line:
        line.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
        for start in range(0, stop, BLOCK):
            line.sendall(data[start : min(stop, start + BLOCK)])
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def run(plan: Plan, trial: Trial) -> None:
    """Have everybody upload and download for minutes; no wrong byte, no answer of 500 or more."""
    random = Random(plan.seed)
    with plan.environment.hub(
        "crowd", UPLOAD_PART_BYTES=plan.environment.part_bytes(PART_BYTES)
    ) as hub:
        names = [f"user{number}" for number in range(USERS)]
        callers = hub.callers(*names)
        ledger = Ledger()
        people = [
            Client(names[n % USERS], callers[n % USERS], Random(random.random()), ledger)
            for n in range(CLIENTS)
        ]
        for number in range(FIRST_FILES):
            file = payload(plan.folder, random, f"first{number}.safetensors", 500_000)
            people[0].run(Sent(file, by_parts=False), "first")
        crowd = Crowd(plan.folder, ledger, time.monotonic() + 60 * plan.minutes)
        began = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            jobs = [pool.submit(Person(crowd, one, n).act) for n, one in enumerate(people)]
        seconds = time.monotonic() - began
        trial.faults += [f"a client gave up: {e!r}" for job in jobs if (e := job.exception())]
        _tell(trial, crowd, seconds)
        wrong = [
            path
            for path, file in ledger.published.items()
            if people[0].download(path) != file.sha256
        ]
        trial.faults += [f"{path} has other bytes in the end" for path in wrong]
        trial.faults += hub.probe.ask("audit")["faults"]
        trial.faults += [*ledger.faults, *(text for _, text in ledger.server_errors)]
        trial.faults += [f"the log tells of error {number}" for number in hub.surprises()]


def _tell(trial: Trial, crowd: Crowd, seconds: float) -> None:
    done, waits = crowd.ledger.done, sorted(crowd.waits_s) or [0.0]
    trial.numbers |= {
        "clients": CLIENTS,
        "seconds": seconds,
        "files published": done["versions acknowledged"],
        "downloads compared": done["downloads compared"],
        "MB uploaded": crowd.moved["uploaded"] / 1e6,
        "MB downloaded": crowd.moved["downloaded"] / 1e6,
        "connections broken by clients": done["connections broken by clients"],
        "requests that had to be repeated": done["requests cut off"],
        "a transfer, median s": waits[len(waits) // 2],
        "a transfer, 99 of 100 within s": waits[int(len(waits) * 0.99)],
        "answers of 500 and more": len(crowd.ledger.server_errors),
    }
    trial.expect(done["connections broken by clients"], "no connection was broken")
