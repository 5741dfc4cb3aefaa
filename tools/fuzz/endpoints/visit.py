"""A fuzzing run against a hub: first requests without write access, then those of another user.

Needs the hub's Django settings.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from registry import sweep
from tools.fuzz.endpoints import fixtures, garbage, promises, rows
from tools.fuzz.endpoints.addresses import Address, addresses, route_of
from tools.fuzz.endpoints.requests import BOB, caller_of, request_for, turns
from tools.fuzz.endpoints.wire import SILENT, Answer, sent, statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.running import RunningHub
    from tools.fuzz.endpoints.requests import FuzzRequest
    from tools.fuzz.endpoints.words import Known

#: One in so many requests is followed by garbage on a separate connection.
GARBAGE_EVERY = 12
#: Seconds to wait for the checks of uploaded files.
SETTLED_S = 120.0
PROGRESS_EVERY = 1_000
#: Methods that are counted by name.
_USUAL = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
#: Texts in the log that indicate an error.
_LOG_ERRORS = ("Traceback", "Internal Server Error", "WORKER TIMEOUT", "Error handling request")


@dataclass
class Visit:
    """Results of a run.

    Attributes:
        counts: Number of answers by protocol and method, and by class of status.
        routes: Number of requests by address.
        kept: Folder for requests that broke a promise.
    """

    port: int
    seed: int
    known: Known
    kept: Path
    all_of_them: list[Address] = field(default_factory=addresses)
    order: list[Address] = field(default_factory=lambda: turns(addresses()))
    counts: dict[tuple[str, str], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    routes: Counter[str] = field(default_factory=Counter)
    callers: Counter[str] = field(default_factory=Counter)
    twins: int = 0
    garbage: int = 0
    faults: list[str] = field(default_factory=list)

    def ask(self, number: int) -> None:
        """Send a request, and if it is about the private adapter, its twin."""
        request = request_for(self.seed, number, self.order, self.known)
        answer = self._sent(request)
        protocol = self._protocol(request)
        self._count(request, protocol, answer)
        for fault in promises.broken_promises(request, protocol, answer, self.known):
            self._fault(number, request, answer, fault)
        twin = request_for(self.seed, number, self.order, self.known.without_private)
        if request.caller in _OUTSIDERS and twin.is_twin_of(request, self.known):
            self.twins += 1
            if difference := promises.twin_difference(answer, self._sent(twin)):
                self._fault(number, request, answer, difference)

    def throw(self, number: int) -> None:
        """Send garbage."""
        kind, data = garbage.garbage(Random(f"{self.seed}:{number}:garbage"))
        found = statuses(self.port, data)
        self.garbage += 1
        counted = self.counts["bare line", kind]
        for status in found or [SILENT]:
            counted[_class(status)] += 1
            if status >= 500 and status != 501:
                self.faults.append(f"garbage {self.seed}:{number}: {status}, {data[:200]!r}")

    def _sent(self, request: FuzzRequest) -> Answer:
        return sent(self.port, request.data, request.method, is_cut=request.is_cut)

    def _protocol(self, request: FuzzRequest) -> str:
        """Count the address, and return its protocol; "" for other addresses."""
        route = route_of(request.target)
        protocol = next((one.protocol for one in self.all_of_them if one.route == route), "")
        if protocol:
            self.routes[f"{protocol}: /{route}"] += 1
        return protocol

    def _count(self, request: FuzzRequest, protocol: str, answer: Answer) -> None:
        label = f"{_class(answer.status)} (Retry-After)" * promises.has_retry_after(answer)
        method = request.method if request.method in _USUAL else "others"
        self.counts[protocol or "elsewhere", method][label or _class(answer.status)] += 1
        self.callers[request.caller] += 1

    def _fault(self, number: int, request: FuzzRequest, answer: Answer, fault: str) -> None:
        self.kept.mkdir(parents=True, exist_ok=True)
        name = f"protocols-{self.seed}-{number}.bin"
        (self.kept / name).write_bytes(request.data)
        heard = f"{answer.status} {answer.body[:200]!r}"
        call = f"{request.method} {request.target[:160]!r} by the {request.caller}"
        self.faults.append(f"{self.seed}:{number}: {fault}; {call}; {heard}; {name}")


#: Callers who must not learn that there is a private adapter.
_OUTSIDERS = frozenset({"stranger", "reader", BOB})


def visit(
    hub: RunningHub, *, requests: int, seed: int, keep: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run against a hub that is not started yet, and return the results."""
    hub.migrate()
    known = fixtures.fill()
    with _open(hub):
        known = fixtures.with_permissions(known, hub.port)
        seen, began = Visit(hub.port, seed, known, keep), time.monotonic()
        _wait_for_checks(hub)
        serving = _serving(hub)
        first, files, stored = rows.rows(), rows.stored("ada"), _stored_files(hub)
        numbers = range(requests)
        _round(seen, [one for one in numbers if caller_of(seed, one) != BOB], say, thrown=True)
        _wait_for_checks(hub)
        middle = rows.rows()
        if _stored_files(hub) != stored:
            seen.faults.append("those who may not write left files, or took some away")
        seen.faults += [f"by those who may not write: {one}" for one in rows.changes(first, middle)]
        _round(seen, [one for one in numbers if caller_of(seed, one) == BOB], say, thrown=False)
        _wait_for_checks(hub)
        last = rows.rows()
        seen.faults += [f"by bob: {one}" for one in rows.changes(middle, last, besides="bob")]
        if rows.stored("ada") != files or any(name != sha for name, sha in files.items()):
            seen.faults.append("bytes of ada's are others than before")
        if _serving(hub) != serving:
            seen.faults.append("a process of the web server ended and was replaced")
        seconds = time.monotonic() - began
    seen.faults += _errors_in_log(hub)
    return {
        "seed": seed,
        "requests": requests,
        "seconds": seconds,
        "counts": [
            {"protocol": protocol, "method": method, "answers": dict(answers)}
            for (protocol, method), answers in sorted(seen.counts.items())
        ],
        "callers": dict(seen.callers),
        "twins": seen.twins,
        "garbage": seen.garbage,
        "asked": dict(sorted(seen.routes.items())),
        "addresses": len(seen.all_of_them),
        "rows": len(first),
        "files": len(files),
        "faults": seen.faults,
    }


@contextmanager
def _open(hub: RunningHub) -> Iterator[None]:
    try:
        hub.start()
        yield
    finally:
        if hub.process is not None and hub.process.poll() is None:
            hub.stop()


def _round(seen: Visit, numbers: list[int], say: Callable[[str], None], *, thrown: bool) -> None:
    for done, number in enumerate(numbers, start=1):
        seen.ask(number)
        if thrown and number % GARBAGE_EVERY == 0:
            seen.throw(number)
        if done % PROGRESS_EVERY == 0:
            say(f"{done:,} of {len(numbers):,}, {len(seen.faults)} faults")


def _wait_for_checks(hub: RunningHub) -> None:
    """Wait until all checks have ended, then sweep as the worker does."""
    until = time.monotonic() + SETTLED_S
    while rows.open_jobs():
        assert time.monotonic() < until, hub.log.read_text(errors="replace")[-2_000:]
        time.sleep(0.1)
    sweep.run()


def _stored_files(hub: RunningHub) -> dict[str, int]:
    """Return the sizes of stored files, and of those being uploaded."""
    found = [path for path in (hub.data / "files").rglob("*") if path.is_file()]
    return {str(path): path.stat().st_size for path in found}


def _serving(hub: RunningHub) -> set[int]:
    return {pid for pid, words in hub.pids().items() if "gunicorn" in words}


def _errors_in_log(hub: RunningHub) -> list[str]:
    lines = hub.log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [
        f"in the log: {line[:300]}" for line in lines if any(cry in line for cry in _LOG_ERRORS)
    ]


def _class(status: int) -> str:
    if status == SILENT:
        return "none"
    return str(status) if status >= 500 else f"{status // 100}xx"
