from __future__ import annotations

import fcntl
import os
import socket
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from registry.jobs import identity, queue, worker_process
from registry.models import Job, JobState
from tests.running import RunningHub

if TYPE_CHECKING:
    from pathlib import Path

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
    assert worker_process.drain("checks") == 0


def test_a_woken_worker_drains_everything_that_is_claimable() -> None:
    for n in range(3):
        put(n, key=f"k{n}")
    assert worker_process.drain("checks") == 3
    assert RAN == [0, 1, 2]
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.DONE}


def test_a_key_names_one_open_job() -> None:
    assert put() == put()
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.create(queue="checks", task="note", key="k")


def test_a_finished_key_may_be_used_again() -> None:
    first = put()
    worker_process.drain("checks")
    assert put() != first


def test_a_job_of_another_queue_is_left_alone() -> None:
    queue.enqueue(queue="render", task="note", args={"n": 1}, key="r")
    assert worker_process.drain("checks") == 0


def test_a_claimed_job_is_not_claimed_twice() -> None:
    put()
    assert queue.claim("checks") is not None
    assert queue.claim("checks") is None


def test_a_job_whose_lease_ran_out_is_claimed_again() -> None:
    put(7)
    lost = queue.claim("checks")
    assert lost is not None
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1), worker="elsewhere:1")
    assert worker_process.drain("checks") == 1
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


def left_by(name: str) -> Path:
    """Return the file by which a worker of this machine shows that it lives."""
    folder: Path = settings.LORARY.data / "workers"
    folder.mkdir(exist_ok=True)
    (folder / name).touch()
    return folder / name


def test_jobs_of_dead_workers_on_this_machine_are_freed() -> None:
    put()
    queue.claim("checks")
    name = f"{socket.gethostname()}-0a0a0a0a:1"  # a process 1 lives, but it is another one
    Job.objects.update(worker=name)
    left_by(name)
    assert queue.release_dead() == 1
    assert Job.objects.get().state == JobState.QUEUED


def test_a_living_worker_keeps_its_job() -> None:
    put()
    queue.claim("checks")
    name = f"{socket.gethostname()}-0a0a0a0a:{2**22 + 7}"  # of another pid namespace
    Job.objects.update(worker=name)
    with left_by(name).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert queue.release_dead() == 0


def test_a_namesake_of_another_machine_keeps_its_job() -> None:
    put()
    queue.claim("checks")
    Job.objects.update(worker=f"{socket.gethostname()}-0a0a0a0a:{2**22 + 7}")
    assert queue.release_dead() == 0
    Job.objects.update(worker=f"{socket.gethostname()}:{2**22 + 7}")  # of the release before
    assert queue.release_dead() == 0


def test_files_of_workers_that_died_long_ago_are_deleted() -> None:
    identity.announce()
    long_ago = time.time() - identity.KEPT_S - 60
    dead = left_by(f"{socket.gethostname()}-0a0a0a0a:1")
    for file in dead.parent.iterdir():
        os.utime(file, (long_ago, long_ago))
    fresh = left_by(f"{socket.gethostname()}-0b0b0b0b:2")
    identity.forget_dead()
    assert {file.name for file in fresh.parent.iterdir()} == {fresh.name, identity.worker_name()}


def test_a_fork_has_a_name_of_its_own() -> None:
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, identity.worker_name().encode())
        os._exit(0)
    os.waitpid(child, 0)
    name = os.read(reader, 200).decode()
    mine = identity.worker_name()
    assert name.partition("-")[2].partition(":")[0] != mine.partition("-")[2].partition(":")[0]
    assert (name.rpartition(":")[2], mine.rpartition(":")[2]) == (str(child), str(os.getpid()))
    assert mine == identity.worker_name()


@pytest.mark.parametrize("taken", [{"worker": "elsewhere:1"}, {"attempt": 2}])
def test_a_worker_that_lost_its_lease_writes_nothing(taken: dict[str, Any]) -> None:
    put()
    lost = queue.claim("checks")
    assert lost is not None
    Job.objects.update(**taken)
    run = queue.JobRun(lost)
    with pytest.raises(queue.LeaseLost):
        run.progress(1, 2)
    with pytest.raises(queue.LeaseLost):
        run.check_cancelled()
    assert not queue.renew(lost)
    assert not queue.finish(lost, state=JobState.DONE)
    assert not queue.finish(lost, state=JobState.QUEUED, retry_after_s=1)
    row = Job.objects.get()
    assert (row.state, row.done, row.total) == (JobState.RUNNING, 0, 0)


def test_an_attempt_that_was_taken_over_ends_quietly() -> None:
    told: list[str] = []

    def overtaken(run: queue.JobRun) -> None:
        Job.objects.update(worker="elsewhere:1", attempt=2)
        run.progress(1, 2)
        RAN.append(0)

    queue.handler("overtaken", on_failed=lambda job: told.append(job.reason))(overtaken)
    put(task="overtaken")
    assert worker_process.drain("checks") == 1
    row = Job.objects.get()
    assert (row.state, row.worker, row.reason) == (JobState.RUNNING, "elsewhere:1", "")
    assert (RAN, told) == ([], [])


def test_a_polite_stop_is_no_attempt() -> None:
    put()
    queue.claim("checks")
    assert queue.release_dead() == 0
    assert queue.release_own() == 1
    job = Job.objects.get()
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)


def test_a_transient_trouble_is_tried_later() -> None:
    @queue.handler("shaky")
    def shaky(run: queue.JobRun) -> None:
        reason = "busy"
        raise queue.Retry(reason, after_s=60)

    put(task="shaky")
    assert worker_process.drain("checks") == 1
    job = Job.objects.get()
    assert (job.state, job.reason) == (JobState.QUEUED, "busy")
    assert job.run_after is not None
    assert job.run_after > timezone.now()
    assert worker_process.drain("checks") == 0


def test_a_pause_by_a_clock_that_was_ahead_is_over() -> None:
    @queue.handler("done")
    def done(run: queue.JobRun) -> None:
        run.progress(1, 1)

    put(task="done")
    Job.objects.update(run_after=timezone.now() + timedelta(hours=2))
    assert worker_process.drain("checks") == 1
    assert Job.objects.get().state == JobState.DONE


def test_a_failure_says_why_and_tells_its_subject() -> None:
    told: list[str] = []

    def fail(run: queue.JobRun) -> None:
        reason = "no base"
        raise queue.Fail(reason)

    queue.handler("doomed", on_failed=lambda job: told.append(job.reason))(fail)
    put(task="doomed")
    worker_process.drain("checks")
    assert Job.objects.get().state == JobState.FAILED
    assert told == ["no base"]


def test_a_job_that_kills_its_workers_ends_as_failed() -> None:
    put()
    Job.objects.update(attempt=5)
    worker_process.drain("checks")
    assert Job.objects.get().state == JobState.FAILED
    assert RAN == []


def test_an_unexpected_error_is_tried_again_and_then_given_up() -> None:
    @queue.handler("broken")
    def broken(run: queue.JobRun) -> None:
        run.progress(1 // 0, 1)

    put(task="broken")
    for _attempt in range(5):
        Job.objects.update(run_after=None)
        worker_process.drain("checks")
    job = Job.objects.get()
    assert (job.state, job.attempt) == (JobState.FAILED, 5)
    assert job.reason == "ZeroDivisionError: integer division or modulo by zero"


def test_a_queued_job_is_cancelled_at_once() -> None:
    put()
    queue.cancel("k")
    assert worker_process.drain("checks") == 0
    assert Job.objects.get().state == JobState.CANCELLED


def test_a_running_job_notices_that_it_is_cancelled() -> None:
    @queue.handler("long")
    def long(run: queue.JobRun) -> None:
        queue.cancel("k")
        run.check_cancelled()
        RAN.append(1)

    put(task="long")
    worker_process.drain("checks")
    assert Job.objects.get().state == JobState.CANCELLED
    assert RAN == []


def test_the_sweep_wakes_for_work_that_no_message_announced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    woken: list[str] = []
    put()
    monkeypatch.setattr(queue, "wake", woken.append)
    worker_process.Poller(["checks", "render"])._check()
    assert woken == ["checks"]


def test_higher_priority_runs_first() -> None:
    put(1, key="low")
    queue.enqueue(queue="checks", task="note", args={"n": 2}, key="high", priority=5)
    worker_process.drain("checks")
    assert RAN == [2, 1]


# --- Turns: those who ask for much and those who ask for little ---------------------------------


def ask(owner: str, n: int, *, name: str = "render.a", priority: int = queue.BATCH) -> Job:
    return queue.enqueue(
        queue=name,
        task="note",
        args={"n": n},
        key=f"{name}:{owner}:{n}",
        owner=owner,
        priority=priority,
    )


def order(*names: str) -> list[str]:
    """Owners in the order in which their jobs of these queues run."""
    found = []
    while (job := queue.claim(*names)) is not None:
        found.append(job.owner)
        queue.finish(job, state=JobState.DONE)
    return found


def test_a_user_with_one_job_does_not_wait_for_a_user_with_many() -> None:
    for n in range(50):
        ask("many", n)
    ask("one", 0)
    assert order("render.a").index("one") == 1


def test_owners_take_turns_whatever_the_order_of_asking() -> None:
    for n in range(3):
        ask("anna", n)
    for n in range(3):
        ask("bert", n)
    assert order("render.a") == ["anna", "bert"] * 3


def test_who_comes_late_starts_where_the_queue_is_now() -> None:
    for n in range(6):
        ask("anna", n)
    for _ in range(3):
        job = queue.claim("render.a")
        assert job is not None
        queue.finish(job, state=JobState.DONE)
    for n in range(4):
        ask("bert", n)
    assert order("render.a") == ["anna", "bert", "anna", "bert", "anna", "bert", "bert"]


def test_turns_hold_across_the_queues_of_one_kind() -> None:
    for n in range(4):
        ask("anna", n)
    assert queue.claim("render.a") is not None
    for n in range(2):
        ask("anna", n, name="render.b")
        ask("bert", n, name="render.b")
    assert order("render.a", "render.b")[:5] == ["bert", "anna", "bert", "anna", "anna"]
    assert ask("carl", 1, name="checks").turn == 0


def test_what_somebody_waits_for_comes_first_in_whatever_queue() -> None:
    ask("anna", 0)
    ask("bert", 0, name="render.b", priority=queue.INTERACTIVE)
    ask("carl", 0, priority=queue.ASKED)
    ask("dora", 0, name="render.b", priority=queue.RENEWAL)
    assert order("render.a", "render.b") == ["bert", "carl", "anna", "dora"]


def test_of_jobs_whose_turn_it_is_those_of_the_queue_before_come_first() -> None:
    ask("anna", 0)
    ask("bert", 0, name="render.b")
    ask("carl", 0)
    ask("dora", 0, name="render.b", priority=queue.INTERACTIVE)
    found = [queue.claim("render.a", "render.b", after=after) for after in ("", "render.b", "")]
    assert [job.owner for job in found if job] == ["dora", "bert", "anna"]


def test_urgent_jobs_take_turns_among_themselves() -> None:
    for n in range(3):
        ask("anna", n)
    assert ask("anna", 3, priority=queue.INTERACTIVE).turn == 0


@pytest.mark.parametrize(
    ("running", "waiting", "gives_way"),
    [
        (queue.BATCH, queue.VISITOR, True),
        (queue.ASKED, queue.INTERACTIVE, True),
        (queue.BATCH, queue.ASKED, False),
        (queue.VISITOR, queue.INTERACTIVE, False),
    ],
)
def test_a_job_gives_way_to_one_that_somebody_waits_for(
    running: int, waiting: int, *, gives_way: bool
) -> None:
    ask("anna", 0, priority=running)
    job = queue.claim("render.a")
    assert job is not None
    run = queue.JobRun(job, ("render.a", "render.b"))
    run.give_way()
    ask("bert", 0, name="render.b", priority=waiting)
    queue.JobRun(job, ("render.a",)).give_way()  # this worker could not run it
    if not gives_way:
        run.give_way()
        return
    with pytest.raises(queue.Retry) as caught:
        run.give_way()
    assert (caught.value.after_s, caught.value.is_attempt) == (0, False)


#: Four people ask at once, each for three jobs, one after the other.
ASK_AT_ONCE = """
import threading
from django.db import connection
from registry.models import Job
from registry.jobs.queue import enqueue

def ask(owner):
    for n in range(3):
        enqueue(queue="render.a", task="note", args={}, key=f"{owner}{n}", owner=owner)
    connection.close()

people = ["anna", "bert", "carl", "dora"]
threads = [threading.Thread(target=ask, args=[name]) for name in people]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for name in people:
    turns = list(Job.objects.filter(owner=name).order_by("id").values_list("turn", flat=True))
    assert len(turns) == 3 and turns == sorted(set(turns)), turns
    assert turns[-1] < 6, turns
"""


@pytest.mark.slow
def test_jobs_asked_for_at_once_by_many_all_get_a_turn(tmp_path: Path) -> None:
    hub = RunningHub(tmp_path / "hub")
    hub.migrate()
    hub.manage("shell", "--verbosity", "0", "--command", ASK_AT_ONCE)


#: Four processes begin the same work, such as what was left undone when they start.
SAME_AT_ONCE = """
import threading
from secrets import token_hex
from django.db import connection
from registry.models import Job
from registry.jobs.queue import enqueue

run, together, found = token_hex(4), threading.Barrier(4, timeout=30), []

def ask():
    for n in range(20):
        together.wait()
        found.append(enqueue(queue="render.a", task="note", args={}, key=f"{run}{n}").pk)
    connection.close()

threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 80, len(found)
assert set(found) == set(Job.objects.filter(key__startswith=run).values_list("pk", flat=True))
assert len(set(found)) == 20
"""


@pytest.mark.slow
def test_the_same_job_asked_for_at_once_is_one(tmp_path: Path) -> None:
    hub = RunningHub(tmp_path / "hub")
    hub.migrate()
    hub.manage("shell", "--verbosity", "0", "--command", SAME_AT_ONCE)


def test_jobs_that_ended_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "FORGOTTEN_AT_ONCE", 2)
    old, now = timezone.now() - queue.KEPT_FOR - timedelta(hours=1), timezone.now()
    for number, state in enumerate(["done", "failed", "cancelled", "done", "queued", "running"]):
        Job.objects.create(queue="checks", task="note", key=f"old{number}", state=state,
                           finished_at=old)  # fmt: skip
        Job.objects.create(queue="checks", task="note", key=f"new{number}", state=state,
                           finished_at=now)  # fmt: skip
    assert queue.forget(is_dry=True) == 4
    assert queue.forget() == 4
    left = Job.objects.filter(key__startswith="old").values_list("state", flat=True)
    assert set(left) == {"queued", "running"}
    assert Job.objects.count() == 8
    assert queue.forget() == 0


def test_a_claim_takes_the_head_of_each_queue_from_an_index() -> None:
    for number in range(60):
        queue.enqueue(queue=f"render.f{number % 3}", task="note", args={}, key=f"k{number}",
                      owner=f"o{number % 7}")  # fmt: skip
    rows = queue._heads(["render.f0", "render.f1", "render.f2"], timezone.now())
    if connection.vendor == "sqlite":  # PostgreSQL reads a table as small as this as a whole
        assert "job_claim_order" in rows.explain()
    assert rows.count() == 3
    assert queue.next_queue(["render.f1", "none"]) == "render.f1"
    assert queue.next_queue(["none"]) is None
