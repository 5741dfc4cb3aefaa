"""Strength advice is measured by the worker, kept with the render, and told by the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from previews import tasks
from previews.models import Render, RenderState
from previews.render.output.strength_advice import METHOD
from previews.renders import strength_advice
from previews.renders.selectors import previews_of
from registry import storage
from registry.jobs import worker_process
from registry.models import Job
from registry.uploads import services as uploads

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, Blob, Version

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(served: None, noir: Adapter, publish: Callable[..., Version]) -> Version:
    return publish(noir)


def asked() -> list[int]:
    jobs = Job.objects.filter(task=strength_advice.ADVISE_TASK)
    return [job.args["render_id"] for job in jobs]


def test_a_render_that_is_ready_has_been_measured(version: Version) -> None:
    worker_process.drain("render.miniature")
    said = version.renders.get().advice
    assert said["method"] == METHOD
    assert [strength for strength, _ in said["distances"]] == [0, 0.25, 0.5, 0.75, 1]
    assert said["distances"][0][1] == 0 < said["seed_distance"]
    assert said["positive"]["ends"] == 1
    assert previews_of(version).advice == said


def test_the_api_tells_it_with_the_version_and_the_render(version: Version) -> None:
    place = f"/api/v1/adapters/{version.adapter.full_name}/versions/v1"
    assert Client().get(place).json()["previews"]["advice"] is None
    worker_process.drain("render.miniature")
    render = version.renders.get()
    told = Client().get(place).json()["previews"]["advice"]
    assert told == render.advice
    assert Client().get(f"/api/v1/renders/{render.pk}").json()["advice"] == told


def test_pictures_that_are_gone_give_none_and_fail_nothing(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_blob: Blob) -> Any:
        storage.store().open("0" * 64)

    monkeypatch.setattr(strength_advice, "bytes_of", gone)
    worker_process.drain("render.miniature")
    render = version.renders.get()
    assert (render.state, render.advice) == (RenderState.READY, {})
    assert previews_of(version).advice == {}


def test_a_sweep_that_says_nothing_is_not_measured_again(version: Version) -> None:
    worker_process.drain("render.miniature")
    render = version.renders.get()
    render.images.exclude(seed=render.images.all()[0].seed).delete()
    strength_advice.measure(render=render)
    assert version.renders.get().advice == {"method": METHOD}
    assert previews_of(version).advice == {}
    strength_advice.begin_missing()
    assert asked() == []


@pytest.mark.parametrize("before", [{}, {"method": METHOD - 1}], ids=["never", "older rules"])
def test_a_worker_that_starts_measures_ready_renders_without_todays_advice(
    version: Version, before: dict[str, int]
) -> None:
    strength_advice.begin_missing()
    assert asked() == []  # it is measured when it is ready
    worker_process.drain("render.miniature")
    render = version.renders.get()
    said = render.advice
    Render.objects.update(advice=before)
    tasks.queue_waiting()
    tasks.queue_waiting()
    assert asked() == [render.pk]
    worker_process.drain(uploads.CHECKS_QUEUE)
    assert version.renders.get().advice == said


def test_a_look_is_bounded(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    worker_process.drain("render.miniature")
    first = version.renders.get()
    second = Render.objects.create(
        version=version, recipe=first.recipe, state=RenderState.READY, trigger_words=[]
    )
    Render.objects.update(advice={})
    monkeypatch.setattr(strength_advice, "MAX_MISSING", 1)
    strength_advice.begin_missing()
    assert asked() == [second.pk]
