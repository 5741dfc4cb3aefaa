"""Workers that show themselves, and what their operator wants of them."""

from __future__ import annotations

import socket
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.utils import timezone

import lorary
from registry import sweep as sweeping
from registry.errors import NotFound, ScopeMissing
from registry.jobs import identity, queue, worker_process, workers
from registry.jobs import selectors as job_selectors
from registry.models import AccessToken, Job, JobState, Worker, WorkerWish

if TYPE_CHECKING:
    from registry.models import User

pytestmark = pytest.mark.django_db(transaction=True)

RAN: list[int] = []


@pytest.fixture(autouse=True)
def tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_HANDLERS", {})
    RAN.clear()
    queue.handler("note")(lambda run: RAN.append(run.args["n"]))


@pytest.fixture
def operator(ada: User) -> User:
    ada.is_staff = True
    ada.save()
    return ada


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(queue, "wake", names.append)
    return names


def put(n: int, *, name: str = "render.a") -> Job:
    return queue.enqueue(queue=name, task="note", args={"n": n}, key=f"{name}{n}")


def announced(name: str = "box:1", *queues: str) -> Worker:
    return Worker.objects.create(
        name=name, queues=list(queues or ("render.a",)), seen_at=timezone.now()
    )


def test_a_worker_that_looks_around_has_a_row_and_renews_it() -> None:
    poller = worker_process.Poller(["render.a"], facts=lambda: {"device": "GPU"})
    poller._check()
    row = Worker.objects.get()
    assert (row.name, row.queues, row.facts) == (
        identity.worker_name(),
        ["render.a"],
        {"device": "GPU", "release": lorary.__version__},
    )
    long_ago = timezone.now() - timedelta(minutes=1)
    Worker.objects.update(seen_at=long_ago)
    assert not job_selectors.alive()
    poller._check()
    assert job_selectors.alive() == [row]
    poller.end()
    assert not Worker.objects.exists()


def test_a_new_worker_under_an_old_name_works_again() -> None:
    workers.register(queues=["a"], facts={})
    workers.set_wish(Worker.objects.all(), WorkerWish.PAUSE)
    workers.register(queues=["b"], facts={})
    row = Worker.objects.get()
    assert (row.queues, row.wish, row.jobs_done) == (["b"], WorkerWish.WORK, 0)


def test_workers_that_are_gone_are_forgotten() -> None:
    name = f"{socket.gethostname()}-0a0a0a0a:1"
    (settings.LORARY.data / "workers").mkdir()
    (settings.LORARY.data / "workers" / name).touch()
    announced(name)
    announced("far:1")
    old = announced("old:1")
    Worker.objects.filter(pk=old.pk).update(seen_at=timezone.now() - timedelta(hours=1))
    assert workers.drop_gone() == 2
    assert Worker.objects.get().name == "far:1"


def test_a_worker_counts_its_jobs() -> None:
    workers.register(queues=["render.a"], facts={})
    for n in range(3):
        put(n)
    worker_process.drain("render.a")
    assert Worker.objects.get().jobs_done == 3


@pytest.mark.parametrize("wish", [WorkerWish.PAUSE, WorkerWish.DRAIN])
def test_a_worker_takes_no_other_job_when_it_is_not_to(wish: WorkerWish) -> None:
    workers.register(queues=["render.a"], facts={})

    @queue.handler("last")
    def last(run: queue.JobRun) -> None:
        workers.set_wish(Worker.objects.all(), wish)
        RAN.append(0)

    queue.enqueue(queue="render.a", task="last", args={}, key="first", priority=1)
    put(1)
    assert worker_process.drain("render.a") == 1
    assert RAN == [0]
    workers.set_wish(Worker.objects.all(), WorkerWish.WORK)
    assert worker_process.drain("render.a") == 1


def test_a_paused_worker_is_not_woken_and_a_resumed_one_at_once(woken: list[str]) -> None:
    poller = worker_process.Poller(["render.a", "render.b"])
    poller._check()
    workers.set_wish(Worker.objects.all(), WorkerWish.PAUSE)
    put(1)
    woken.clear()
    poller._check()
    assert woken == []
    workers.set_wish(Worker.objects.all(), WorkerWish.WORK)
    assert woken == ["render.a", "render.b"]


def test_a_drained_worker_ends_once_it_is_idle() -> None:
    ends: list[bool] = []
    poller = worker_process.Poller(["render.a"], on_drain=lambda: ends.append(True))
    poller._check()
    workers.set_wish(Worker.objects.all(), WorkerWish.DRAIN)
    worker_process._AT_WORK.set()
    poller._check()
    worker_process._AT_WORK.clear()
    assert ends == []
    poller._check()
    assert ends == [True]


def test_a_worker_at_work_is_not_woken(woken: list[str]) -> None:
    put(1)
    woken.clear()
    worker_process._AT_WORK.set()
    worker_process.Poller(["render.a"])._check()
    worker_process._AT_WORK.clear()
    assert woken == []


def test_a_wake_up_is_for_all_queues_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "_SERVED", ["render.a", "render.b"])
    put(1)
    put(2, name="render.b")
    assert worker_process.wake("render.a") == 2


def test_who_serves_a_queue() -> None:
    one, _other, last = announced("a:1"), announced("b:1", "render.b"), announced("c:1")
    assert job_selectors.serving("render.a") == [one, last]
    workers.set_wish([last], WorkerWish.DRAIN)
    assert job_selectors.serving("render.a") == [one]
    assert job_selectors.serving("render.c") == []


def test_the_list_of_workers_has_the_job_each_is_at(django_assert_num_queries: object) -> None:
    announced("a:1")
    announced("b:1")
    job = put(1)
    Job.objects.update(state=JobState.RUNNING, worker="a:1", done=3, total=20)
    with django_assert_num_queries(2):  # type: ignore[operator]  # untyped fixture
        first, second = job_selectors.with_jobs()
    assert (first.job, second.job) == (job, None)
    assert first.is_alive


def test_queues_are_told_by_priority_with_the_oldest_wait() -> None:
    first = put(1)
    put(2)
    queue.enqueue(queue="render.a", task="note", args={}, key="k", priority=queue.INTERACTIVE)
    put(3, name="checks")
    Job.objects.filter(queue="checks").update(state=JobState.RUNNING)
    checks, renders = job_selectors.queue_lengths()
    assert (checks.name, checks.running, checks.total) == ("checks", 1, 0)
    assert (renders.name, renders.waiting) == ("render.a", {10: 1, 0: 2})
    assert renders.oldest == first.created_at


def test_failures_of_the_last_days_are_told_and_older_ones_not() -> None:
    job, old = put(1), put(2)
    Job.objects.update(state=JobState.FAILED, reason="no", finished_at=timezone.now())
    Job.objects.filter(pk=old.pk).update(finished_at=timezone.now() - timedelta(days=30))
    assert job_selectors.failures() == [job]


def test_a_job_that_nobody_could_try_keeps_its_attempts() -> None:
    @queue.handler("elsewhere")
    def elsewhere(run: queue.JobRun) -> None:
        reason = "not here"
        raise queue.Retry(reason, after_s=0, is_attempt=False)

    queue.enqueue(queue="render.a", task="elsewhere", args={}, key="k")
    job = queue.claim("render.a")
    assert job is not None
    worker_process._run(job)
    job.refresh_from_db()
    assert (job.state, job.attempt, job.reason) == (JobState.QUEUED, 0, "not here")


def test_only_operators_want_something_of_workers(operator: User, bob: User) -> None:
    row = announced()
    assert (
        workers.request_state(actor=operator, worker_id=row.pk, wish="pause").wish
        == WorkerWish.PAUSE
    )
    for stranger in (bob, None):
        with pytest.raises(NotFound):
            workers.request_state(actor=stranger, worker_id=row.pk, wish="work")
    with pytest.raises(NotFound):
        workers.request_state(actor=operator, worker_id=row.pk + 1, wish="work")
    operator.access_token = AccessToken(scopes=["read", "write"])
    with pytest.raises(ScopeMissing):
        workers.request_state(actor=operator, worker_id=row.pk, wish="work")


def test_a_long_sweep_holds_up_no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    began, may_end = threading.Event(), threading.Event()

    def sweep() -> None:
        began.set()
        assert may_end.wait(30)

    monkeypatch.setattr(worker_process, "POLL_S", 0.05)
    monkeypatch.setattr(sweeping, "run", sweep)
    poller = worker_process.Poller(["checks"])
    poller.start()
    try:
        assert began.wait(10), "nothing was swept"
        first = Worker.objects.get().seen_at
        until = time.monotonic() + 10
        while Worker.objects.get().seen_at == first and time.monotonic() < until:
            time.sleep(0.05)
        assert Worker.objects.get().seen_at > first
        poller.end()
        assert not Worker.objects.exists(), "a worker that ends waits for no sweep"
    finally:
        poller.stopping.set()
        may_end.set()
    for thread in threading.enumerate():
        if isinstance(thread, worker_process.Cleaner):
            thread.join(10)


def test_a_sweep_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    stopping = threading.Event()

    def sweep() -> None:
        tries.append(1)
        if len(tries) == 3:
            stopping.set()
        raise OSError

    monkeypatch.setattr(worker_process, "POLL_S", 0.0)
    monkeypatch.setattr(worker_process, "ASK_S", 0.0)
    monkeypatch.setattr(sweeping, "run", sweep)
    cleaner = worker_process.Cleaner(stopping)
    cleaner.start()
    cleaner.join(10)
    assert len(tries) == 3
