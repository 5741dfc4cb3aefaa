"""Slow, silent and broken clients of one address against a running hub, for as long as wanted.

    python -m tools.fuzz.slow --minutes 10 --seed 1 --report docs/reports

80 connections from 127.0.0.1 misbehave in ways that follow from the seed, and open others when they
are closed. Promised are, to somebody with the address 127.0.0.2 meanwhile: an ordinary page within
2 s and `/healthz/live` within 200 ms; afterwards, that no connection of the attacker is left and
that the hub's log has no traceback. Exit code 1: a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import shutil
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.results import machine
from tests.running import RunningHub
from tools.fuzz.dawdling import WAYS, dawdle

if TYPE_CHECKING:
    from collections.abc import Sequence

ATTACKER, VISITOR = "127.0.0.1", "127.0.0.2"
CROWD = 80
LIVE, PAGES = "/healthz/live", ("/", "/browse", "/signin", "/healthz/ready")
LIMIT_S = dict.fromkeys(PAGES, 2.0) | {LIVE: 0.2}
#: Seconds between two visits, and after which no connection of the attacker may be left.
VISIT_S, GONE_S = 0.5, 20.0
_CRIES = ("Traceback", "WORKER TIMEOUT")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; 1 when a promise is broken."""
    options = _parser().parse_args(arguments)
    with TemporaryDirectory(prefix="lorary-slow-") as place:
        hub = RunningHub(Path(place) / "hub", "--no-worker")
        with hub:
            found = attacked(hub, 60 * options.minutes, options.seed)
        if found["faults"]:
            options.keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(hub.log, options.keep / "slow.log")
    lines = _lines(found, options.seed)
    if options.report:
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        head = [f"# Slow clients, {day}", "", "Written by `python -m tools.fuzz.slow`; what is"]
        head += ["promised is in [fuzzing.md](../fuzzing.md#slow-clients).", ""]
        text = "\n".join([*head, *(f"* {fact}" for fact in machine()), "", *lines, ""])
        (options.report / f"{day}-slow-clients.md").write_text(text, encoding="utf-8")
    sys.stdout.write((json.dumps(found) if options.json else "\n".join(lines)) + "\n")
    return 1 if found["faults"] else 0


def attacked(hub: RunningHub, for_s: float, seed: int) -> dict[str, Any]:
    """Attack a hub for a time and return what a visitor saw meanwhile."""
    faults, took_s = list[str](), {path: list[float]() for path in (*PAGES, LIVE)}
    for path in took_s:
        _seconds(hub.port, path)  # templates are loaded once
    ways, is_over = Counter[str](), threading.Event()
    attack = threading.Thread(target=_attack, args=(hub.port, seed, is_over, ways))
    attack.start()
    try:
        until = time.monotonic() + for_s
        for page in cycle(PAGES):
            if time.monotonic() >= until:
                break
            for path in (LIVE, page):
                try:
                    seconds = _seconds(hub.port, path)
                    is_late = seconds > LIMIT_S[path] and _is_late(hub.port, path, seconds)
                except (OSError, http.client.HTTPException) as error:
                    faults.append(f"{path}: {error!r}")
                    continue
                took_s[path].append(seconds)
                if is_late:
                    faults.append(f"{path} took {seconds:.2f} s")
            time.sleep(VISIT_S)
    finally:
        is_over.set()
        attack.join()
    faults += _left(hub)
    log = hub.log.read_text(encoding="utf-8", errors="replace")
    faults += [f"the log has {cry!r}" for cry in _CRIES if cry in log]
    return {"faults": faults, "ways": dict(ways), "took_s": took_s, "for_s": for_s}


def _is_late(port: int, path: str, seconds: float) -> bool:
    """Whether an answer that was late is so again: the machine may have had other things to do."""
    return median([seconds, _seconds(port, path), _seconds(port, path)]) > LIMIT_S[path]


def _seconds(port: int, path: str) -> float:
    """Return how long an answer takes to the visitor.

    Raises:
        OSError: there is none.
        HTTPException: it is no answer, or not the one that was asked for.
    """
    began = time.monotonic()
    connection = http.client.HTTPConnection(ATTACKER, port, timeout=30, source_address=(VISITOR, 0))
    with closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise http.client.HTTPException(response.status)
    return time.monotonic() - began


def _attack(port: int, seed: int, is_over: threading.Event, ways: Counter[str]) -> None:
    asyncio.run(_crowd(port, seed, is_over, ways))


async def _crowd(port: int, seed: int, is_over: threading.Event, ways: Counter[str]) -> None:
    async def one(number: int) -> None:
        random = Random(f"{seed}:{number}")
        while True:
            name = random.choice(sorted(WAYS))
            ways[name] += 1
            await dawdle(ATTACKER, port, name, random)

    members = [asyncio.create_task(one(number)) for number in range(CROWD)]
    while not is_over.is_set() and not any(member.done() for member in members):
        await asyncio.sleep(0.1)
    for member in members:
        member.cancel()
    for outcome in await asyncio.gather(*members, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError), repr(outcome)


def _left(hub: RunningHub) -> list[str]:
    """Say how many connections of the attacker the hub still has."""
    until = time.monotonic() + GONE_S
    while (count := _open_connections(hub.port)) and time.monotonic() < until:
        time.sleep(0.5)
    return [f"{count} connections are left"] if count else []


def _open_connections(port: int) -> int:
    """Return how many connections to a port the hub has not closed (Linux)."""
    established, half_closed = "01", "08"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        row[1].endswith(f":{port:04X}") and row[3] in {established, half_closed} for row in rows
    )


def _lines(found: dict[str, Any], seed: int) -> list[str]:
    head = f"{CROWD} slow connections for {found['for_s']:.0f} s, seed {seed}:"
    table = [
        f"{head} {sum(found['ways'].values()):,} in all.",
        "",
        "| asked by somebody else | times | median | slowest | promised |",
        "| --- | --- | --- | --- | --- |",
    ]
    for path, taken in found["took_s"].items():
        ordered = sorted(taken) or [0.0]
        median, slowest = 1000 * ordered[len(ordered) // 2], 1000 * ordered[-1]
        limit = 1000 * LIMIT_S[path]
        table.append(
            f"| `{path}` | {len(taken)} | {median:.0f} ms | {slowest:.0f} ms | {limit:.0f} ms |"
        )
    return [*table, "", f"broken promises: {len(found['faults'])}", *found["faults"]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz.slow",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="also write a dated page")
    parser.add_argument("--keep", type=Path, default=Path("test-results"), help="for a hub's log")
    parser.add_argument("--json", action="store_true", help="one line of JSON in place of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
