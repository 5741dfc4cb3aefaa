"""Health checks for monitors: ``/healthz/live``, and ``/healthz/ready`` or ``/healthz``.

They accept any ``Host``: monitors use the address of a machine.

Each part of the hub is probed in its own thread by a small operation, and has ``TIMEOUT_S`` to
respond. A probe that hangs is not started again until it ends, so probes never pile up. Results
are cached for seconds, so that frequent requests are cheap.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from django.db import connections
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from hub.http.callers import is_monitor
from hub.monitoring.log_formats import without_secrets
from hub.operations.probes import CONTENTS, DETAILS, PARTS, TIMEOUT_S, Facts, Probe

#: Seconds for which a result is cached. Counts of many rows take longer than a scrape may: the
#: last ones are told until there are new ones.
CACHE_S, CONTENTS_S = 5.0, 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PartState:
    """The result of a probe.

    Attributes:
        reason: Why the part does not work.
        facts: What the probe found, for instance the free bytes of a disk.
    """

    is_up: bool
    reason: str = ""
    seconds: float = TIMEOUT_S
    facts: Facts = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """Return the state as operators see it."""
        return {
            "state": "up" if self.is_up else "down",
            "reason": self.reason,
            "seconds": round(self.seconds, 4),
            **self.facts,
        }


_SILENT = PartState(is_up=False, reason=f"it did not answer within {TIMEOUT_S:g} s")
#: Requests do without them, and so a balancer must not take every web server away at once.
DISPENSABLE = frozenset({"broker"})


class Health:
    """Cached states of the hub's parts, as one process knows them."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes
        self._lock = threading.Lock()
        self._pid = 0
        self._running: dict[str, Future[PartState]] = {}
        self._started: dict[str, float] = {}
        self._counted: dict[str, PartState] = {}  # last results of CONTENTS

    def states(self, names: Collection[str]) -> dict[str, PartState]:
        """Return the states of parts; probe those whose cache has expired."""
        with self._lock:
            if self._pid != os.getpid():  # a fork does not copy threads
                self._pid, self._running, self._started = os.getpid(), {}, {}
                self._pool = ThreadPoolExecutor(len(self._probes), "health")
            for name in names:
                self._start_if_due(name)
            running = {name: self._running[name] for name in names}
            until = TIMEOUT_S + max(self._started[name] for name in names)
        awaited = [probe for name, probe in running.items() if name not in self._counted]
        wait(awaited, max(0.0, until - time.monotonic()))
        return {
            name: probe.result() if probe.done() else self._counted.get(name, _SILENT)
            for name, probe in running.items()
        }

    def _start_if_due(self, name: str) -> None:
        now, last = time.monotonic(), self._running.get(name)
        kept_s = CONTENTS_S if name in CONTENTS else CACHE_S
        if last is None or (last.done() and now >= self._started[name] + kept_s):
            was_up = last is None or last.result().is_up
            if last is not None and name in CONTENTS:
                self._counted[name] = last.result()
            self._running[name] = self._pool.submit(self._examine, name, was_up=was_up)
            self._started[name] = now

    def _examine(self, name: str, *, was_up: bool) -> PartState:
        began, facts, reason = time.monotonic(), Facts(), ""
        try:
            self._probes[name](facts)
        except Exception as error:  # noqa: BLE001 - any exception means that the part fails
            reason = without_secrets(str(error.__cause__ or error)) or type(error).__name__
            if was_up:
                log.warning("the %s does not work: %s", name, reason)
        finally:
            connections.close_all()
        return PartState(not reason, reason, time.monotonic() - began, facts)


HEALTH = Health({**PARTS, **DETAILS, **CONTENTS})


@require_safe
@never_cache
def live(_request: HttpRequest) -> JsonResponse:
    """Answer 200. The web server, ``hub.webserver.gunicorn_worker``, answers by itself."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """Respond with 200 if all parts work that requests need, otherwise 503; operators get reasons.

    Operators also get figures. The status is “degraded” if only parts are down that requests can
    do without.
    """
    is_told = is_monitor(request)
    found = HEALTH.states([*PARTS, *DETAILS] if is_told else PARTS)
    is_up = {name: found[name].is_up for name in PARTS}
    is_ready = all(up for name, up in is_up.items() if name not in DISPENSABLE)
    status = "ok" if all(is_up.values()) else "degraded" if is_ready else "unavailable"
    document: dict[str, object] = {"status": status}
    document |= {name: "up" if up else "down" for name, up in is_up.items()}
    if is_told:
        document["parts"] = {name: state.document() for name, state in found.items()}
    return JsonResponse(document, status=200 if is_ready else 503)
