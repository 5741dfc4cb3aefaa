"""From a published version to stored pictures, by the queue."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from typing import TYPE_CHECKING, Any

import pytest
from celery import current_app
from django.db import IntegrityError, transaction

from previews import local_weights, tasks
from previews.covers.selectors import covers_of
from previews.models import Image, Recipe, Render, RenderState
from previews.render import CannotRender, OutOfMemory, Why
from previews.render.output.images import decode
from previews.renders import services as renders
from previews.renders.selectors import previews_of
from previews.renders.selectors import render as find_render
from registry import storage, sweep
from registry.errors import Forbidden, NotFound, StateConflict
from registry.jobs import queue, worker_process
from registry.models import Blob, Job, JobState, Version
from registry.publication import services as publication
from registry.uploads import check
from registry.uploads import services as uploads
from tests import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(served: None, noir: Adapter, publish: Callable[..., Version]) -> Version:
    return publish(noir)


def pictures_of(version: Version) -> list[Image]:
    return list(Image.objects.filter(render__version=version).select_related("blob"))


def test_publishing_queues_the_default_recipe(version: Version) -> None:
    [render] = version.renders.all()
    assert render.state == RenderState.QUEUED
    assert render.total == 20
    assert render.job is not None
    assert (render.job.queue, render.job.task) == ("render.miniature", "render_version")
    found = previews_of(version)
    assert (found.state, found.progress) == ("queued", {"done": 0, "total": 20})


def test_the_worker_makes_every_picture(version: Version) -> None:
    assert worker_process.drain("render.miniature") == 1
    found = previews_of(version)
    assert (found.state, found.done, found.total) == ("ready", 20, 20)
    assert {image.strength for image in found.images} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert all(image.prompt.endswith(", neon glow") for image in found.images)
    assert found.images[0].url == f"/media/images/{found.images[0].id}.png"
    for row in pictures_of(version):
        with storage.store().open(row.blob.sha256) as handle:
            said = decode(handle.read()).document
        call = {} if row.strength else {"call": [7, row.position]}
        image = {"prompt": row.prompt, "seed": row.seed, "strength": row.strength}
        assert said["image"] == image | call
        assert (said["digest"] == Recipe.objects.get().digest) == (row.strength != 0)
        assert bool(said["adapters"]) == (row.strength != 0)


def render_again() -> None:
    """Run the handler of a job that is over, as if it were claimed once more."""
    Job.objects.filter(task="render_version").update(state=JobState.QUEUED)
    job = queue.claim("render.miniature")
    assert job is not None
    tasks.render_version(queue.JobRun(job))


def test_running_twice_changes_nothing(version: Version) -> None:
    worker_process.drain("render.miniature")
    before = {row.pk: row.blob_id for row in pictures_of(version)}
    Render.objects.update(state=RenderState.RUNNING)
    render_again()
    assert {row.pk: row.blob_id for row in pictures_of(version)} == before
    assert version.renders.get().state == RenderState.READY


def test_a_worker_killed_midway_is_continued(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = renders.keep_pictures
    calls: list[Any] = []

    def dying(**arguments: Any) -> None:
        if len(calls) == 2:
            raise SystemExit
        calls.append(arguments)
        keep(**arguments)

    monkeypatch.setattr(renders, "keep_pictures", dying)
    with pytest.raises(SystemExit):
        worker_process.drain("render.miniature")
    first = {row.pk for row in pictures_of(version)}
    assert len(first) == 9  # seven controls, and two pictures at the next strength
    assert previews_of(version).done == 9

    monkeypatch.setattr(renders, "keep_pictures", keep)
    Job.objects.filter(state=JobState.RUNNING).update(state=JobState.QUEUED, lease_until=None)
    assert worker_process.drain("render.miniature") == 1
    after = pictures_of(version)
    assert len(after) == 20
    assert first <= {row.pk for row in after}
    assert previews_of(version).state == "ready"


def test_the_same_recipe_gives_the_same_blobs(version: Version) -> None:
    worker_process.drain("render.miniature")
    before = [row.blob_id for row in pictures_of(version)]
    render = version.renders.get()
    render.images.all().delete()
    Render.objects.update(state=RenderState.RUNNING)
    render_again()
    assert [row.blob_id for row in pictures_of(version)] == before


def test_asking_again_returns_the_same_render(version: Version, ada: User) -> None:
    first = renders.request(actor=ada, version=version)
    assert renders.request(actor=ada, version=version) == first
    worker_process.drain("render.miniature")
    assert renders.request(actor=ada, version=version) == first
    assert Job.objects.filter(task="render_version").count() == 1


def test_other_trigger_words_are_rendered_anew_while_the_old_pictures_stay(
    version: Version, ada: User
) -> None:
    worker_process.drain("render.miniature")
    old = previews_of(version).images
    version.trigger_words = ["ink wash"]
    version.save()
    render = renders.request(actor=ada, version=version)
    found = previews_of(version)
    assert (found.render_id, found.state, found.images) == (render.pk, "queued", old)
    worker_process.drain("render.miniature")
    assert previews_of(version).images[0].prompt.endswith(", ink wash")


def test_only_those_who_may_publish_ask(version: Version, bob: User, ada: User) -> None:
    with pytest.raises(Forbidden):
        renders.request(actor=bob, version=version)
    version.state = "draft"
    with pytest.raises(StateConflict):
        renders.request(actor=ada, version=version)


def test_nobody_asks_for_a_family_that_nobody_serves(
    unserved: None, ada: User, noir: Adapter, publish: Callable[..., Version]
) -> None:
    version = publish(noir)
    before = list(version.renders.all())
    with pytest.raises(StateConflict, match="no renderer for Miniature"):
        renders.request(actor=ada, version=version)
    assert list(version.renders.all()) == before


def test_a_family_that_nobody_serves_waits_and_says_so(
    unserved: None, noir: Adapter, publish: Callable[..., Version]
) -> None:
    version = publish(noir)
    found = previews_of(version)
    assert (found.state, found.reason) == ("waiting", "waiting for a worker for Miniature")
    assert found.progress == {"done": 0, "total": 0}
    assert not Job.objects.filter(task="render_version").exists()


def test_what_waited_is_queued_once_there_is_a_base(
    unserved: None,
    noir: Adapter,
    publish: Callable[..., Version],
    settings: Settings,
    bases_file: Path,
) -> None:
    version = publish(noir)
    assert renders.wake_waiting() == 0
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=bases_file)
    assert renders.wake_waiting() == version.renders.get().pk
    assert renders.wake_waiting() == 0
    worker_process.drain("render.miniature")
    assert previews_of(version).state == "ready"


def test_a_hub_without_bases_says_that_previews_are_off_and_makes_them_later(
    previews_off: None,
    noir: Adapter,
    publish: Callable[..., Version],
    settings: Settings,
    bases_file: Path,
) -> None:
    version = publish(noir)
    assert not version.renders.exists()
    assert renders.begin_missing() == 0
    assert not version.renders.exists()
    found = previews_of(version)
    assert (found.state, found.reason) == ("none", "previews are off on this hub")
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=bases_file)
    assert previews_of(version).reason == ""
    assert renders.begin_missing() == version.pk
    worker_process.drain("render.miniature")
    assert previews_of(version).state == "ready"


def test_what_waits_stays_waiting_while_the_only_worker_restarts(
    version: Version, previews_off: None
) -> None:
    version.renders.update(state=RenderState.WAITING, reason="waiting for a worker", job=None)
    found = previews_of(version)
    assert (found.state, found.reason) == ("waiting", "waiting for a worker")


def test_new_words_while_previews_are_off_make_the_old_pictures_outdated(
    rendered: Version, previews_off: None
) -> None:
    rendered.trigger_words = ["another"]
    rendered.save()
    renders.on_version_published(rendered.pk)
    new = rendered.renders.latest("pk")
    assert (new.state, rendered.renders.count()) == ("waiting", 2)
    found = previews_of(rendered)
    assert (found.state, found.is_renewal) == ("waiting", True)


def test_a_base_that_went_away_makes_the_render_wait(version: Version, unserved: None) -> None:
    worker_process.drain("render.miniature")
    assert previews_of(version).state == "waiting"


def test_a_file_that_cannot_be_rendered_says_why(
    version: Version, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise CannotRender(Why.SHAPE, "to_q is (4, 320)")

    monkeypatch.setattr(tasks, "_make", refuse)
    worker_process.drain("render.miniature")
    found = previews_of(version)
    assert found.state == "failed"
    assert found.reason == (
        "The file was made for a base model of another size. (to_q is (4, 320))"
    )
    assert renders.request(actor=ada, version=version).state == RenderState.QUEUED


def test_a_cancelled_job_is_a_failure_that_can_be_asked_for_again(
    version: Version, ada: User
) -> None:
    queue.cancel(Job.objects.get(task="render_version").key)
    assert previews_of(version).state == "failed"
    again = renders.request(actor=ada, version=version)
    assert again.state == RenderState.QUEUED
    worker_process.drain("render.miniature")
    assert previews_of(version).state == "ready"


def test_cancelling_a_running_job_stops_it(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "CANCEL_S", 0.0)
    real = renders.start

    def start(*, render: Render) -> bool:
        queue.cancel(f"render_version:{render.pk}")
        return real(render=render)

    monkeypatch.setattr(renders, "start", start)
    worker_process.drain("render.miniature")
    assert Job.objects.get(task="render_version").state == JobState.CANCELLED
    assert previews_of(version).state == "failed"
    assert not pictures_of(version)


def test_a_broken_bases_file_does_not_undo_a_publication(
    noir: Adapter, publish: Callable[..., Version], settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("bases = 3")
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)
    version = publish(noir)
    assert version.state == "published"
    assert previews_of(version).state == "none"


def test_a_cover_has_the_recommended_strength(version: Version, noir: Adapter) -> None:
    noir.refresh_from_db()
    assert covers_of([noir]) == {noir.pk: None}
    worker_process.drain("render.miniature")
    cover = covers_of([noir])[noir.pk]
    assert cover is not None
    chosen = Image.objects.get(pk=cover.id)
    assert (chosen.strength, chosen.prompt_index, chosen.seed) == (1.0, 0, 7)


def test_private_renders_are_not_there_for_strangers(
    version: Version, ada: User, bob: User, noir: Adapter
) -> None:
    render = version.renders.get()
    assert find_render(bob, render.pk) == render
    noir.visibility = "private"
    noir.save(update_fields=["visibility"])
    assert find_render(ada, render.pk) == render
    with pytest.raises(NotFound):
        find_render(bob, render.pk)


# --- What the database holds to, whoever writes ------------------------------------------------


def test_a_version_has_one_open_render_with_each_base(version: Version) -> None:
    there = version.renders.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        Render.objects.create(version=version, recipe=there.recipe, base=there.base)
    Render.objects.create(version=version, recipe=there.recipe, base="another")


def test_a_picture_is_there_once(version: Version) -> None:
    worker_process.drain("render.miniature")
    row = pictures_of(version)[0]
    row.pk, row.position = None, 99
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


@pytest.mark.parametrize("state", ["waiting", "failed"])
def test_waiting_and_failing_need_a_reason(version: Version, state: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Render.objects.update(state=state, reason="")


def test_a_queued_render_has_a_recipe(version: Version) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Render.objects.update(recipe=None)


def test_a_recipe_digest_is_hex(db: None) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Recipe.objects.create(digest="x" * 64, document={})


def test_the_sweeper_keeps_pictures(version: Version) -> None:
    worker_process.drain("render.miniature")
    sweep.run()
    used = Blob.objects.filter(preview_images__isnull=False)
    assert not used.filter(unreferenced_since__isnull=False).exists()


# --- Files beside the weights, and stores that are elsewhere ------------------------------------


def test_weights_that_are_not_on_this_disk_are_fetched(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.LocalStore, "link", lambda *_: "https://elsewhere.example/")
    worker_process.drain("render.miniature")
    assert previews_of(version).state == "ready"


def test_memory_that_ran_out_is_tried_again_later(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        message = "nothing fits"
        raise OutOfMemory(message)

    monkeypatch.setattr(tasks, "_make", full)
    worker_process.drain("render.miniature")
    job = Job.objects.get(task="render_version")
    assert (job.state, job.run_after is not None) == (JobState.QUEUED, True)
    assert "memory" in job.reason


def test_a_withdrawn_version_is_not_rendered(version: Version) -> None:
    catalogue.put(Version.objects.filter(pk=version.pk), "withdrawn")
    version.refresh_from_db()
    worker_process.drain("render.miniature")
    assert previews_of(version).reason == "This version was withdrawn."
    assert not pictures_of(version)


@pytest.mark.parametrize(
    ("text", "config"),
    [(b'{"lora_alpha": 8}', {"lora_alpha": 8}), (b"[1]", {}), (b"no json", {}), (b"[" * 9000, {})],
)
def test_pefts_configuration_comes_along(
    version: Version, ada: User, tiny_lora: bytes, text: bytes, config: dict[str, Any]
) -> None:
    sent = []
    for path, data in (("adapter_config.json", text), ("other.safetensors", tiny_lora)):
        upload = uploads.create(actor=ada, path=path, size_bytes=len(data))
        upload = uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(data))
        sent.append(check.run_checks(upload=upload))
    draft = publication.create_draft(actor=ada, adapter=version.adapter, uploads=sent)
    with local_weights.layers_of(draft, 0.8) as [layer]:
        assert layer.weight == 0.8
        assert layer.config == config
        assert layer.sha256 == hashlib.sha256(tiny_lora).hexdigest()
        assert layer.path.is_file()


@pytest.mark.django_db
def test_a_version_whose_render_was_never_asked_for_gets_one_at_the_start_of_a_worker(
    served: None, noir: Adapter, publish: Callable[..., Version]
) -> None:
    version = publish(noir)
    version.renders.all().delete()
    assert renders.begin_missing() == version.pk
    assert version.renders.count() == 1
    assert renders.begin_missing() == 0
    assert version.renders.count() == 1


@pytest.mark.django_db
def test_a_starting_worker_begins_a_batch_of_renders_in_each_attempt_of_a_job(
    served: None, noir: Adapter, publish: Callable[..., Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = publish(noir)
    Render.objects.all().delete()
    Job.objects.all().delete()
    monkeypatch.setattr(renders, "AT_ONCE", 1)
    tasks.queue_waiting()
    assert not Render.objects.exists()
    served_queues = list(current_app.amqp.queues.consume_from)
    # One render, then none is left; none waits; no report, sheet of a pack or lineage is missing.
    assert worker_process.drain(*served_queues) == 6
    assert version.renders.get().state == RenderState.QUEUED
    job = Job.objects.get(task=tasks.BEGIN_TASK)
    assert (job.state, job.attempt) == (JobState.DONE, 1)
