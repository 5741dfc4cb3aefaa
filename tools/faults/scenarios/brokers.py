"""Messages doubled and lost, databases locked and restarted, clocks that jump."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tools.faults.clients.crew import at_work, verify
from tools.faults.scenarios import clocks, databases
from tools.faults.servers.processes import Broker
from tools.faults.trials import Skipped, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.faults.servers.hubs import FaultyHub
    from tools.faults.trials import Plan

CLIENTS = 4
SIZES = (100_000, 1_000_000)
#: Seconds that clients work in each part, and that the broker is away.
LONG_S, SHORT_S, AWAY_S = 20.0, 4.0, 2.0
#: Wake-ups that nobody needs, at a time, and seconds between them.
WAKES, WAKE_EVERY_S = 5, 0.2
SHOWN = ("versions acknowledged", "checks begun again", "requests cut off",
         "answers of 500 and more")  # fmt: skip


def run(plan: Plan, trial: Trial) -> None:
    """Do each of them to a hub of its own."""
    parts: dict[str, Callable[[Plan, Trial], None]] = {
        "every message several times, to two workers": _doubled,
        "messages lost": _lost,
        **databases.parts(plan),
    }
    if plan.is_short and plan.environment.is_sqlite and not plan.environment.named_broker:
        parts = {"messages doubled and lost, SQLite locked": _together}
    parts["clocks jumping by hours"] = clocks.jumping
    for name, part in parts.items():
        found = Trial(name)
        try:
            with found.timed():
                part(plan, found)
        except Skipped as reason:
            trial.numbers[name] = f"not run: {reason}"
            continue
        own = {key: value for key, value in found.numbers.items() if key not in _of_verify()}
        shown = {key: found.numbers.get(key, 0) for key in SHOWN}
        trial.numbers[name] = {**own, **shown}
        trial.faults += [f"{name}: {fault}" for fault in found.faults]


def _of_verify() -> set[str]:
    """Return the figures that every part has, of which few are shown."""
    return {
        "requests", "parts acknowledged", "uploads acknowledged", "checks given up", "uploads",
        "versions", "most attempts at one check", "versions downloaded and compared",
        "uploads given up in their middle", "orphans after the grace period", *SHOWN,
    }  # fmt: skip


def _doubled(plan: Plan, trial: Trial) -> None:
    """Two workers get messages by the dozen, for jobs that are there and for none."""
    with plan.environment.hub("doubled", workers=2) as hub:
        with at_work(plan, hub, trial, clients=CLIENTS, sizes=SIZES) as crew, _waking(hub) as sent:
            time.sleep(SHORT_S if plan.is_short else LONG_S)
        trial.numbers["wake-ups for nothing"] = sent[0]
        verify(hub, crew, trial)
        _alive(hub, trial)


@contextmanager
def _waking(hub: FaultyHub) -> Iterator[list[int]]:
    """Send wake-ups all the time; yields how many there were."""
    sent, stopping = [0], threading.Event()
    probe = hub.probe

    def wake() -> None:
        while not stopping.wait(WAKE_EVERY_S):
            sent[0] += int(probe.ask("wake", name="checks", times=WAKES))

    thread = threading.Thread(target=wake, daemon=True)
    thread.start()
    try:
        yield sent
    finally:
        stopping.set()
        thread.join()


def _lost(plan: Plan, trial: Trial) -> None:
    """The broker is away for a while, and comes back with nothing in it."""
    environment = plan.environment
    own = environment.redis or environment.rabbitmq
    if own is not None:
        _restarted(plan, trial, own.restart)
    elif environment.named_broker:
        message = "the broker is not ours to restart"
        raise Skipped(message)
    else:
        _swept_away(plan, trial)
        if shutil.which("redis-server") or shutil.which("valkey-server"):
            with Broker(plan.folder) as redis:
                _restarted(plan, trial, redis.restart, redis.url)


def _restarted(plan: Plan, trial: Trial, restart: Callable[[float], None], url: str = "") -> None:
    hub = plan.environment.hub("lost")
    if url:
        hub.environ["LORARY_BROKER_URL"] = url
    with hub:
        with at_work(plan, hub, trial, clients=CLIENTS, sizes=SIZES) as crew:
            for _ in range(1 if plan.is_short else 3):
                time.sleep(SHORT_S / 2 if plan.is_short else LONG_S / 4)
                restart(AWAY_S)
                trial.numbers["brokers restarted empty"] = (
                    trial.numbers.get("brokers restarted empty", 0) + 1
                )
            time.sleep(SHORT_S / 2)
        verify(hub, crew, trial)
        _alive(hub, trial)


def _swept_away(plan: Plan, trial: Trial) -> None:
    """Remove the messages of the embedded broker as they come."""
    with plan.environment.hub("swept") as hub:
        with at_work(plan, hub, trial, clients=CLIENTS, sizes=SIZES) as crew:
            gone = _remove_messages(hub, LONG_S)
        verify(hub, crew, trial)
        _alive(hub, trial)
    trial.numbers["messages of the embedded broker removed"] = gone
    trial.expect(gone, "no message could be removed")


def _remove_messages(hub: FaultyHub, seconds: float) -> int:
    gone, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        for message in (hub.data / "broker" / "messages").glob("*"):
            with suppress(FileNotFoundError):
                message.unlink()
                gone += 1
        time.sleep(0.02)
    return gone


def _together(plan: Plan, trial: Trial) -> None:
    """All of it at once, on what a hub has without any server."""
    with plan.environment.hub("together", workers=2) as hub:
        with at_work(plan, hub, trial, clients=CLIENTS, sizes=SIZES) as crew, _waking(hub) as sent:
            trial.numbers["messages of the embedded broker removed"] = _remove_messages(
                hub, SHORT_S
            )
            databases.hold_sqlite(hub, SHORT_S / 2)
        trial.numbers["wake-ups for nothing"] = sent[0]
        verify(hub, crew, trial)
        _alive(hub, trial)


def _alive(hub: FaultyHub, trial: Trial) -> None:
    for worker in hub.workers:
        trial.expect(worker.poll() is None, f"a worker ended by itself: {worker.returncode}")
