from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry import queue, worker
from registry.models import Job, JobState

pytestmark = pytest.mark.django_db(transaction=True)

RAN: list[int] = []


@pytest.fixture(autouse=True)
def tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_HANDLERS", {})
    RAN.clear()
    queue.handler("note")(lambda run: RAN.append(run.args["n"]))


def put(n: int = 1, *, task: str = "note", key: str = "k") -> Job:
    return queue.enqueue(queue="checks", task=task, args={"n": n}, key=key)


def test_a_job_written_in_a_transaction_that_rolls_back_never_runs() -> None:
    with transaction.atomic():
        put()
        transaction.set_rollback(True)
    assert worker.drain("checks") == 0


def test_a_woken_worker_drains_everything_that_is_claimable() -> None:
    for n in range(3):
        put(n, key=f"k{n}")
    assert worker.drain("checks") == 3
    assert RAN == [0, 1, 2]
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.DONE}


def test_a_key_names_one_open_job() -> None:
    assert put() == put()
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.create(queue="checks", task="note", key="k")


def test_a_finished_key_may_be_used_again() -> None:
    first = put()
    worker.drain("checks")
    assert put() != first


def test_a_job_of_another_queue_is_left_alone() -> None:
    queue.enqueue(queue="render", task="note", args={"n": 1}, key="r")
    assert worker.drain("checks") == 0


def test_a_claimed_job_is_not_claimed_twice() -> None:
    put()
    assert queue.claim("checks") is not None
    assert queue.claim("checks") is None


def test_a_job_whose_lease_ran_out_is_claimed_again() -> None:
    put(7)
    lost = queue.claim("checks")
    assert lost is not None
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1), worker="elsewhere:1")
    assert worker.drain("checks") == 1
    assert RAN == [7]
    assert not queue.finish(lost, state=JobState.FAILED)
    assert Job.objects.get().state == JobState.DONE


def test_a_lease_is_renewed_only_by_its_owner() -> None:
    put()
    job = queue.claim("checks")
    assert job is not None
    assert queue.renew(job)
    Job.objects.update(worker="elsewhere:1")
    assert not queue.renew(job)


def test_jobs_of_dead_workers_on_this_host_are_freed_at_start() -> None:
    put()
    queue.claim("checks")
    host = queue.worker_name().rpartition(":")[0]
    Job.objects.update(worker=f"{host}:{2**22 + 7}")
    assert queue.release_dead() == 1
    assert Job.objects.get().state == JobState.QUEUED


def test_a_living_worker_keeps_its_job() -> None:
    put()
    queue.claim("checks")
    host = queue.worker_name().rpartition(":")[0]
    Job.objects.update(worker=f"{host}:1")
    assert queue.release_dead() == 0


def test_a_polite_stop_is_no_attempt() -> None:
    put()
    queue.claim("checks")
    assert queue.release_own(is_polite=True) == 1
    job = Job.objects.get()
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)


def test_a_job_of_a_dead_namesake_counts_as_an_attempt() -> None:
    put()
    queue.claim("checks")
    assert queue.release_dead() == 0
    assert queue.release_own() == 1
    assert Job.objects.get().attempt == 1


def test_a_transient_trouble_is_tried_later() -> None:
    @queue.handler("shaky")
    def shaky(run: queue.JobRun) -> None:
        reason = "busy"
        raise queue.Retry(reason, after_s=60)

    put(task="shaky")
    assert worker.drain("checks") == 1
    job = Job.objects.get()
    assert (job.state, job.reason) == (JobState.QUEUED, "busy")
    assert job.run_after is not None
    assert job.run_after > timezone.now()
    assert worker.drain("checks") == 0


def test_a_failure_says_why_and_tells_its_subject() -> None:
    told: list[str] = []

    def fail(run: queue.JobRun) -> None:
        reason = "no base"
        raise queue.Fail(reason)

    queue.handler("doomed", on_failed=lambda job: told.append(job.reason))(fail)
    put(task="doomed")
    worker.drain("checks")
    assert Job.objects.get().state == JobState.FAILED
    assert told == ["no base"]


def test_a_job_that_kills_its_workers_ends_as_failed() -> None:
    put()
    Job.objects.update(attempt=5)
    worker.drain("checks")
    assert Job.objects.get().state == JobState.FAILED
    assert RAN == []


def test_an_unexpected_error_is_tried_again_and_then_given_up() -> None:
    @queue.handler("broken")
    def broken(run: queue.JobRun) -> None:
        run.progress(1 // 0, 1)

    put(task="broken")
    for _attempt in range(5):
        Job.objects.update(run_after=None)
        worker.drain("checks")
    job = Job.objects.get()
    assert (job.state, job.attempt) == (JobState.FAILED, 5)
    assert job.reason == "ZeroDivisionError: integer division or modulo by zero"


def test_a_queued_job_is_cancelled_at_once() -> None:
    put()
    queue.cancel("k")
    assert worker.drain("checks") == 0
    assert Job.objects.get().state == JobState.CANCELLED


def test_a_running_job_notices_that_it_is_cancelled() -> None:
    @queue.handler("long")
    def long(run: queue.JobRun) -> None:
        queue.cancel("k")
        run.check_cancelled()
        RAN.append(1)

    put(task="long")
    worker.drain("checks")
    assert Job.objects.get().state == JobState.CANCELLED
    assert RAN == []


def test_the_sweep_wakes_for_work_that_no_message_announced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    woken: list[str] = []
    put()
    monkeypatch.setattr(queue, "wake", woken.append)
    worker.Sweeper(["checks", "render"])._look()
    assert woken == ["checks"]


def test_higher_priority_runs_first() -> None:
    put(1, key="low")
    queue.enqueue(queue="checks", task="note", args={"n": 2}, key="high", priority=5)
    worker.drain("checks")
    assert RAN == [2, 1]
