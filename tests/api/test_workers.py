"""``/workers``: for those who run the hub, and for nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.jobs import queue
from registry.models import Job, JobState, Worker
from tests.api.conftest import Caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import User

pytestmark = pytest.mark.django_db

FACTS = {
    "device": "NVIDIA A100",
    "memory_gb": 80.0,
    "families": ["flux1"],
    "bases": [{"id": "flux", "family": "flux1", "title": "FLUX.1 [dev]", "seconds": 2.5}],
}


@pytest.fixture
def box() -> Worker:
    return Worker.objects.create(
        name="box:7", queues=["render.flux1"], facts=FACTS, seen_at=timezone.now()
    )


@pytest.fixture
def operator(ada: User, token_of: Callable[..., str]) -> Caller:
    ada.is_staff = True
    ada.save()
    return Caller(token_of(ada, "admin"))


def test_an_operator_sees_what_workers_are_at(operator: Caller, box: Worker) -> None:
    job = queue.enqueue(queue="render.flux1", task="paint", args={}, key="k", owner="bob")
    Job.objects.update(state=JobState.RUNNING, worker="box:7", done=5, total=20)
    answer = operator.send("get", "workers")
    assert answer.status_code == 200
    [told] = answer.json()["results"]
    assert (told["id"], told["device"], told["memory_gb"]) == (box.pk, "NVIDIA A100", 80.0)
    assert told["is_alive"]
    assert told["bases"] == FACTS["bases"]
    assert (told["job"]["id"], told["job"]["owner"], told["job"]["done"]) == (job.pk, "bob", 5)


def test_an_operator_pauses_and_resumes_a_worker(operator: Caller, box: Worker) -> None:
    for wish in ("pause", "work", "drain"):
        answer = operator.send("post", f"workers/{box.pk}", {"wish": wish})
        assert (answer.status_code, answer.json()["wish"]) == (200, wish)
        box.refresh_from_db()
        assert box.wish == wish


def test_a_wish_that_does_not_exist_is_refused(operator: Caller, box: Worker) -> None:
    assert operator.send("post", f"workers/{box.pk}", {"wish": "dance"}).status_code == 400
    assert operator.send("post", f"workers/{box.pk + 1}", {"wish": "work"}).status_code == 404


def test_to_others_there_are_no_workers(
    bob: User, ada: User, box: Worker, token_of: Callable[..., str]
) -> None:
    bob.is_staff = True
    bob.save()
    strangers = Caller(token_of(bob, "admin"))
    bob.is_staff = False
    bob.save()
    for caller in (strangers, Caller()):
        assert caller.send("get", "workers").status_code == 404
    assert strangers.send("post", f"workers/{box.pk}", {"wish": "drain"}).status_code == 404
    ada.is_staff = True
    ada.save()
    narrow = Caller(token_of(ada, "read", "write"))
    assert narrow.send("get", "workers").json()["code"] == "scope_missing"
    box.refresh_from_db()
    assert box.wish == "work"
