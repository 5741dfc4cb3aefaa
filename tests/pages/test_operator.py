"""The operator's page: workers, queues, failures, and the buttons beside them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from hub.operations.doctor import examine
from previews.models import Render, RenderState
from registry.jobs import queue
from registry.jobs.worker_process import drain
from registry.models import Job, JobState, PackVersion, Version, Worker
from tests import packs

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db

FACTS = {
    "device": "NVIDIA RTX 4090",
    "memory_gb": 24.0,
    "families": ["sdxl", "flux1"],
    "bases": [{"id": "sdxl", "family": "sdxl", "title": "SDXL 1.0", "seconds": 1.25}],
}


@pytest.fixture
def as_operator(as_ada: Client, ada: User) -> Client:
    ada.is_staff = True
    ada.save()
    return as_ada


@pytest.fixture
def box(db: None) -> Worker:
    return Worker.objects.create(
        name="box:7", queues=["render.sdxl"], facts=FACTS, seen_at=timezone.now()
    )


def put(name: str = "render.sdxl", key: str = "k", priority: int = 0) -> Job:
    return queue.enqueue(queue=name, task="paint", args={}, key=key, priority=priority)


def text_of(client: Client, path: str = "/operator") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_an_empty_hub_says_how_to_start_workers(as_operator: Client) -> None:
    text = text_of(as_operator)
    assert "<code>manage.py worker</code>" in text
    assert "No jobs are waiting." in text
    assert "No job failed." in text


def test_where_no_worker_gives_a_sign_the_page_says_what_is_true_after_a_start_too(
    as_operator: Client, box: Worker
) -> None:
    said = "No worker has been active in the last 30 seconds"
    assert said not in text_of(as_operator)
    Worker.objects.update(seen_at=timezone.now() - timedelta(seconds=31))
    for path in ("/operator", "/operator/panel"):
        text = text_of(as_operator, path)
        assert said in text
        assert "Workers need a few seconds to start." in text
    assert ">gone<" in text_of(as_operator)


def test_families_that_nobody_serves_are_told_as_the_doctor_tells_them(
    as_operator: Client, ada: User, box: Worker, published: Callable[..., Adapter]
) -> None:
    assert "Renders without a worker" not in text_of(as_operator)
    version = published(ada).versions.get()
    Version.objects.filter(pk=version.pk).update(family="flux1")
    version.renders.all().delete()
    Render.objects.create(version=version, state=RenderState.WAITING, reason="no base")
    put("render.flux1", key="flux")
    put("render.miniature", key="miniature")
    put("render.sdxl", key="sdxl")
    told = [report for report in examine() if "wait for a worker" in report.message]
    counts = {"FLUX.1": ("flux1", 2), "Miniature": ("miniature", 1)}
    assert [report.message for report in told] == [
        f"Renders that wait for a worker for {title} ({family}): {count}."
        for title, (family, count) in counts.items()
    ]
    text = text_of(as_operator)
    rows = text[text.index('id="operator-unserved"') : text.index('id="operator-queues"')]
    flux, miniature = re.findall(r"<tr><th.+?</tr>", rows)[1:]
    for row, (title, (family, count)) in zip((flux, miniature), counts.items(), strict=True):
        assert f'{title} <code class="muted">{family}</code>' in row
        assert f'data-label="Renders">{count}</td>' in row
    assert ">no</td>" in flux
    assert "Add a base model of the family to the bases file" in rows
    assert ">yes: start a worker</td>" in miniature
    Worker.objects.update(queues=["render.sdxl", "render.flux1", "render.miniature"])
    assert "Renders without a worker" not in text_of(as_operator)
    Worker.objects.update(wish="drain")
    assert "Renders without a worker" in text_of(as_operator)


def test_workers_are_shown_with_device_speed_and_job(as_operator: Client, box: Worker) -> None:
    job = put()
    Job.objects.update(
        state=JobState.RUNNING, worker="box:7", done=5, total=20, started_at=timezone.now()
    )
    text = text_of(as_operator)
    for said in (
        "NVIDIA RTX 4090",
        "24 GB",
        "Stable Diffusion XL, FLUX.1",
        "SDXL 1.0: 1.2 s",
        "box:7",
    ):
        assert said in text
    assert '<progress max="20" value="5"' in text
    assert f"job {job.pk}, started" in text
    assert 'class="chip on">at work' in text


def test_queues_are_shown_by_priority_and_whether_anybody_serves_them(
    as_operator: Client, box: Worker
) -> None:
    put()
    put(key="now", priority=queue.INTERACTIVE)
    put("render.flux1", key="flux")
    put("render.flux1", key="report", priority=queue.BACKGROUND)
    text = text_of(as_operator)
    assert re.findall(r'<th scope="col" class="num">(.+?)</th>', text)[-1] == "Background"
    flux, sdxl = text.index("Pictures: FLUX.1"), text.index("Pictures: Stable Diffusion XL")
    assert "no worker" in text[flux:sdxl]
    assert "no worker" not in text[sdxl:]
    numbers = re.findall(r'<td class="num">(.+?)</td>', text[flux:sdxl])
    assert numbers == ["0", "·", "·", "1", "1"]
    numbers = re.findall(r'<td class="num">(.+?)</td>', text[sdxl:])
    assert numbers == ["0", "1", "·", "1", "·"]


def test_a_worker_that_gives_no_sign_is_gone_and_has_no_buttons(
    as_operator: Client, box: Worker
) -> None:
    Worker.objects.update(seen_at=timezone.now() - timedelta(minutes=3))
    text = text_of(as_operator)
    assert ">gone<" in text
    assert "last seen" in text
    assert f"/operator/workers/{box.pk}" not in text


def test_buttons_pause_resume_and_end_a_worker(as_operator: Client, box: Worker) -> None:
    for wish, word in (("pause", "paused"), ("work", "idle"), ("drain", "ends")):
        answer = as_operator.post(f"/operator/workers/{box.pk}", {"wish": wish}, follow=True)
        assert f">{word}<" in answer.content.decode()
        box.refresh_from_db()
        assert box.wish == wish
    assert as_operator.post(f"/operator/workers/{box.pk}", {"wish": "x"}).status_code == 400
    assert as_operator.get(f"/operator/workers/{box.pk}").status_code == 405


def test_a_job_at_work_is_asked_to_stop(as_operator: Client, box: Worker) -> None:
    job = put()
    Job.objects.update(state=JobState.RUNNING, worker="box:7", started_at=timezone.now())
    assert f"/operator/jobs/{job.pk}" in text_of(as_operator)
    as_operator.post(f"/operator/jobs/{job.pk}", {"action": "cancel"})
    job.refresh_from_db()
    assert job.is_cancel_asked


def test_a_failed_render_is_shown_with_its_reason_and_tried_again(
    as_operator: Client, ada: User, published: Callable[..., Adapter]
) -> None:
    adapter = published(ada)
    job = put()
    Job.objects.update(state=JobState.FAILED, reason="no memory", finished_at=timezone.now())
    version = adapter.versions.get()
    version.renders.all().delete()
    Render.objects.create(version=version, job=job, state=RenderState.FAILED, reason="no memory")
    text = text_of(as_operator)
    assert "no memory" in text
    assert f'<a href="/{adapter.full_name}">' in text
    assert as_operator.post(f"/operator/jobs/{job.pk}", {"action": "retry"}).status_code == 302
    assert version.renders.count() == 2


def test_cover_sheets_are_shown_with_their_pack_counted_and_tried_again(
    as_operator: Client, ada: User, published: Callable[..., Adapter]
) -> None:
    render = packs.sheet(packs.published(ada, published(ada)), "waiting", 0, reason="no base")
    Render.objects.exclude(pk=render.pk).delete()
    assert [report.message for report in examine() if "wait for a worker" in report.message] == [
        "Renders that wait for a worker for Stable Diffusion 1.x (sd1): 1."
    ]
    job = put(key=f"render_version:{render.pk}")
    Job.objects.update(state=JobState.FAILED, reason="no memory", finished_at=timezone.now())
    Render.objects.update(job=job, state=RenderState.FAILED, reason="no memory")
    assert '<a href="/packs/ada/dusk">packs/ada/dusk</a> v1' in text_of(as_operator)
    assert as_operator.post(f"/operator/jobs/{job.pk}", {"action": "retry"}).status_code == 302
    render.refresh_from_db()
    assert render.state == RenderState.QUEUED
    assert Job.objects.filter(renders=render, task="render_literally", state="queued").exists()
    Render.objects.filter(pk=render.pk).update(job=job, state="failed", reason="no memory")
    again = packs.sheet(PackVersion.objects.get(), "queued", 0)  # its owner asked first
    assert as_operator.post(f"/operator/jobs/{job.pk}", {"action": "retry"}).status_code == 409
    assert list(Render.objects.filter(state=RenderState.QUEUED)) == [again]


def test_a_look_report_of_a_cover_sheet_is_shown_with_its_pack(
    as_operator: Client, ada: User, published: Callable[..., Adapter]
) -> None:
    job = put()
    Job.objects.update(state=JobState.FAILED, reason="no memory", finished_at=timezone.now())
    sheet = packs.sheet(packs.published(ada, published(ada)))
    packs.report(sheet, state="failed", reason="no memory", job=job)
    assert '<a href="/packs/ada/dusk">packs/ada/dusk</a> v1' in text_of(as_operator)


def test_a_job_that_did_not_fail_is_not_tried_again(as_operator: Client) -> None:
    job = put()
    assert as_operator.post(f"/operator/jobs/{job.pk}", {"action": "retry"}).status_code == 409
    assert as_operator.post("/operator/jobs/999", {"action": "cancel"}).status_code == 404


def test_jobs_of_a_task_that_no_worker_knows_are_shown_and_cancelled(as_operator: Client) -> None:
    job = put("checks")
    assert drain("checks") == 1
    assert "no worker knows" not in text_of(as_operator)  # an update may be under way
    Job.objects.update(started_at=timezone.now() - timedelta(hours=2))
    text = text_of(as_operator)
    assert "Unknown tasks" in text
    assert f'action="/operator/jobs/{job.pk}"' in text
    as_operator.post(f"/operator/jobs/{job.pk}", {"action": "cancel"})
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert "no worker knows" not in text_of(as_operator)


@pytest.mark.parametrize("path", ["/operator", "/operator/panel"])
def test_to_others_there_is_no_such_page(as_ada: Client, box: Worker, path: str) -> None:
    assert as_ada.get(path).status_code == 404
    for wish in ("drain", "x"):
        assert as_ada.post(f"/operator/workers/{box.pk}", {"wish": wish}).status_code == 404
    assert as_ada.post("/operator/jobs/1", {"action": "cancel"}).status_code == 404
    as_ada.logout()
    assert as_ada.get(path).status_code == 404
    assert "/operator" not in as_ada.get("/").content.decode()


def test_staff_find_the_page_in_their_menu(as_operator: Client) -> None:
    assert 'href="/operator"' in as_operator.get("/").content.decode()


def test_the_page_takes_as_many_queries_for_many_as_for_one(
    as_operator: Client, box: Worker, django_assert_max_num_queries: Any
) -> None:
    for n in range(5):
        Worker.objects.create(name=f"b:{n}", queues=["checks"], seen_at=timezone.now())
        put(key=f"k{n}")
        put(f"render.f{n}", key=f"f{n}")
    with django_assert_max_num_queries(12):
        as_operator.get("/operator/panel")
