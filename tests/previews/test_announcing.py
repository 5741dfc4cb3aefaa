"""Workers elsewhere: what they announce, and what becomes of renders meanwhile."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from previews import worker_bases
from previews.models import Recipe, RenderState
from previews.renders import services as renders
from previews.renders.selectors import previews_of
from registry.jobs import queue, worker_process, workers
from registry.models import Job, JobState, Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db

BASE = {
    "id": "big", "family": "miniature", "title": "Big", "steps": 7, "guidance": 3.5, "width": 256,
    "height": 128, "frames": 0, "fps": 0, "negative": "blurry", "sampler": "", "trigger": "front",
    "seconds": 2.5, "unheard_of": 1,
}  # fmt: skip


def box(*bases: dict[str, Any], name: str = "box:1") -> Worker:
    facts = {"device": "GPU", "bases": list(bases) or [BASE]}
    return Worker.objects.create(
        name=name, queues=["render.miniature"], facts=facts, seen_at=timezone.now()
    )


@pytest.fixture
def queued(served: None, noir: Adapter, publish: Callable[..., Version]) -> Version:
    """A version whose render waits longer than a worker takes to start."""
    version = publish(noir)
    Job.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    return version


def test_a_render_is_queued_by_what_a_worker_elsewhere_has(
    unserved: None, noir: Adapter, publish: Callable[..., Version]
) -> None:
    box()
    render = publish(noir).renders.get()
    assert render.state == RenderState.QUEUED
    assert render.job is not None
    assert (render.job.queue, render.job.owner) == ("render.miniature", "ada")
    said = Recipe.objects.get().document
    assert {key: said[key] for key in ("base", "steps", "width", "height", "negative")} == {
        "base": "big",
        "steps": 7,
        "width": 256,
        "height": 128,
        "negative": "blurry",
    }


def test_workers_that_are_gone_announce_nothing(
    unserved: None, noir: Adapter, publish: Callable[..., Version]
) -> None:
    box()
    Worker.objects.update(seen_at=timezone.now() - timedelta(minutes=2))
    assert publish(noir).renders.get().state == RenderState.WAITING


@pytest.mark.parametrize(
    "odd", [{"trigger": "middle"}, {"guidance": 99.0}, {"steps": "many"}, {"id": None}]
)
def test_a_base_that_this_release_does_not_understand_is_nobody_s(
    unserved: None, noir: Adapter, publish: Callable[..., Version], odd: dict[str, Any]
) -> None:
    box(BASE | odd)
    assert publish(noir).renders.get().state == RenderState.WAITING
    assert Client().get("/api/v1/adapters/ada/noir/recipe").status_code == 200


def test_what_workers_have_counts_before_the_file_here(served: None) -> None:
    here = worker_bases.base_for("miniature")
    assert here is not None
    assert here.id == "tiny"
    first = box()
    found = worker_bases.base_for("miniature")
    assert found is not None
    assert found.id == "big"
    box(BASE | {"id": "tiny"}, name="box:2")
    assert worker_bases.base_for("miniature") == here
    assert worker_bases.base_for("sdxl") is None
    first.delete()
    assert worker_bases.families() == {"miniature"}


def test_a_process_tells_its_bases_and_serves_their_families(served: None) -> None:
    told = worker_bases.facts()
    assert told["device"].startswith("CPU")
    assert told["memory_gb"] > 0
    assert told["families"] == ["miniature"]
    [base] = told["bases"]
    assert (base["id"], base["steps"], base["trigger"]) == ("tiny", 2, "end")
    assert worker_bases.queues_of(["render"]) == ["render", "render.miniature"]
    assert worker_bases.queues_of(["render.sdxl", "checks"]) == ["render.sdxl", "checks"]


def test_the_pace_of_renders_is_told(queued: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_bases, "_SECONDS", {})
    workers.register(queues=["render.miniature"], facts=worker_bases.facts())
    worker_process.drain("render.miniature")
    assert previews_of(queued).state == "ready"
    [base] = Worker.objects.get().facts["bases"]
    assert 0 < base["seconds"] < 60


def test_the_pace_leaves_out_the_opening_and_runs_along(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 101.0, 104.0, 200.0, 207.0])
    monkeypatch.setattr(worker_bases, "_SECONDS", {})
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    monkeypatch.setattr(worker_bases, "facts", dict)
    pace = worker_bases.Speed("b")
    for done in (2, 4, 10):
        pace.on_step(done, 10)
    pace.record(steps=8)
    assert worker_bases._SECONDS == {"b": 4.0}
    pace = worker_bases.Speed("b")
    for done in (1, 8):
        pace.on_step(done, 8)
    pace.record(steps=8)
    assert worker_bases._SECONDS == {"b": 5.2}
    worker_bases.Speed("c").record(steps=8)
    assert "c" not in worker_bases._SECONDS


# --- What is told of renders that nobody takes --------------------------------------------------


@pytest.mark.django_db(transaction=True)  # the end of a look closes connections
def test_a_render_that_no_worker_can_take_waits_and_goes_on_by_itself(queued: Version) -> None:
    found = previews_of(queued)
    assert (found.state, found.reason) == ("waiting", "waiting for a worker for Miniature")
    assert found.total == 20
    worker_process.Poller(["render.miniature"], facts=worker_bases.facts)._check()
    assert previews_of(queued).state == "queued"
    worker_process.drain("render.miniature")
    assert previews_of(queued).state == "ready"


def test_a_fresh_render_does_not_seem_to_wait_while_a_worker_starts(
    served: None, noir: Adapter, publish: Callable[..., Version]
) -> None:
    assert previews_of(publish(noir)).state == "queued"


def test_a_render_whose_worker_is_paused_says_so(queued: Version) -> None:
    row = box()
    assert previews_of(queued).state == "queued"
    workers.set_wish([row], "pause")
    found = previews_of(queued)
    assert (found.state, found.reason) == ("waiting", "waiting for a paused worker")


def test_a_render_that_is_tried_again_later_says_why(queued: Version) -> None:
    box()
    Job.objects.update(reason="no memory", run_after=timezone.now() + timedelta(minutes=1))
    queued.renders.update(state=RenderState.RUNNING)
    found = previews_of(queued)
    assert (found.state, found.reason) == ("queued", "no memory")


# --- Bases that are elsewhere, and jobs of an older version -------------------------------------


def test_a_job_for_a_base_that_only_others_have_is_left_to_them(
    queued: Version, settings: Settings, tmp_path: Path
) -> None:
    box(BASE | {"id": "tiny"})
    file = tmp_path / "none.toml"
    file.write_text("")
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)
    worker_process.drain("render.miniature")
    job = Job.objects.get(task="render_version")
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert previews_of(queued).state == "queued"


def test_jobs_of_an_older_version_are_done_as_they_are(queued: Version) -> None:
    Job.objects.update(queue="render")
    worker_process.drain(*worker_bases.queues_of(["render"]))
    assert previews_of(queued).state == "ready"


def test_what_an_owner_asks_for_goes_before_what_was_published(
    queued: Version, noir: Adapter, ada: User, publish: Callable[..., Version]
) -> None:
    queue.cancel(Job.objects.get(task="render_version").key)
    render = renders.request(actor=ada, version=queued)
    assert render.job is not None
    assert (render.job.priority, render.job.owner) == (queue.ASKED, "ada")


def test_the_api_tells_the_place_in_the_queues_of_its_workers(queued: Version) -> None:
    row = box()
    render = queued.renders.get()
    asked = f"/api/v1/renders/{render.pk}"
    assert Client().get(asked).json()["queue"] == {"ahead": 0, "workers": 1, "seconds_left": None}
    queue.enqueue(queue="render.sdxl", task="x", args={}, key="x", priority=queue.INTERACTIVE)
    assert Client().get(asked).json()["queue"]["ahead"] == 0
    Worker.objects.filter(pk=row.pk).update(queues=["render.miniature", "render.sdxl"])
    assert Client().get(asked).json()["queue"]["ahead"] == 1
    row.delete()
    found = Client().get(asked).json()
    assert (found["state"], found["queue"]["workers"]) == ("waiting", 0)
    worker_process.drain("render.miniature")
    assert Client().get(asked).json()["queue"] is None
