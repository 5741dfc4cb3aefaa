"""A worker that is asked to end gives its job back: each job ends once."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tools.faults.scenarios import long_queue
from tools.faults.servers.hubs import FaultyHub
from tools.faults.servers.services import wait_until
from tools.faults.trials import Trial

if TYPE_CHECKING:
    from pathlib import Path


def are_at_work(hub: FaultyHub) -> bool:
    """Whether two workers have done jobs; more of these are there for one that still starts."""
    done = hub.probe.ask("jobs_done")
    hub.probe.ask("enqueue", jobs=4, name=f"first-{uuid.uuid4()}")
    return len(done) == 2 and min(done) > 0


@pytest.mark.slow
def test_jobs_of_a_worker_that_is_ended_in_the_middle_end_once(tmp_path: Path) -> None:
    hub, trial = FaultyHub(tmp_path / "hub", workers=2), Trial("drained")
    hub.worker_program = long_queue.IDLE_WORKER
    hub.migrate()
    hub.probe.ask("watch_ends")
    try:
        for number in range(2):
            hub.start_worker(number)
        wait_until(lambda: are_at_work(hub), hub.ready_s, "no workers")
        wait_until(lambda: not hub.probe.ask("open", name="first"), hub.ready_s, "jobs are left")
        long_queue.drain(hub, trial)
    finally:
        hub.__exit__(None, None, None)
    assert trial.faults == []
