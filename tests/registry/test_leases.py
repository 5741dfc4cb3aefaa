"""What one process of the hub does at a time, such as a sweep, and what each machine does."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from registry import locks, sweep
from registry.errors import Conflict
from registry.jobs import leases
from registry.models import Lease

pytestmark = pytest.mark.django_db(transaction=True)


def test_only_one_process_sweeps_at_a_time() -> None:
    with leases.holding("sweep"):
        assert sweep.run_alone() is None
    swept = sweep.run_alone()
    assert swept is not None
    assert swept.files == 0


def test_a_hub_sweeps_once_an_hour_whatever_the_number_of_its_workers() -> None:
    assert sweep.run_alone(rest_s=3600) is not None
    assert sweep.run_alone(rest_s=3600) is None
    Lease.objects.update(until=timezone.now())
    assert sweep.run_alone(rest_s=3600) is not None


def test_a_sweep_of_a_killed_worker_is_taken_over() -> None:
    Lease.objects.create(name="sweep", holder="dead", until=timezone.now() + timedelta(seconds=60))
    assert sweep.run_alone() is None
    Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert sweep.run_alone() is not None


def test_a_lease_is_extended_while_its_holder_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "EXTEND_S", 0.05)
    with leases.holding("sweep"):
        first, until = Lease.objects.get().until, time.monotonic() + 10
        while Lease.objects.get().until == first:
            assert time.monotonic() < until
            time.sleep(0.05)
        with pytest.raises(Conflict), leases.holding("sweep"):
            pass
    assert not Lease.objects.exists()


def test_a_sweep_that_fails_can_be_tried_at_once() -> None:
    def fail() -> None:
        with leases.holding("sweep", rest_s=3600):
            message = "away"
            raise OSError(message)

    with pytest.raises(OSError, match="away"):
        fail()
    assert not leases.is_held("sweep")


def test_a_machine_deletes_what_its_processes_left() -> None:
    long_ago = time.time() - 30 * 86_400
    ended = locks.folder() / ("ab" * 16)
    pieces = settings.LORARY.data / "xet"
    ended.touch()
    (pieces / "1-1-ab").mkdir(parents=True)
    sweep.run_here()
    assert ended.exists()
    assert pieces.exists(), "an upload may go on"
    for place in (ended, pieces):
        os.utime(place, (long_ago, long_ago))
    sweep.run_here()
    assert not ended.exists()
    assert not pieces.exists()
