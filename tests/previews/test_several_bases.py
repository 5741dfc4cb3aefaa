"""An adapter is previewed with every served base of its family."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

import previews.tasks  # noqa: F401 - registers the handler of renders
from previews import worker_bases
from previews.covers.selectors import covers_of
from previews.models import Control, Image, Render, RenderState
from previews.pictures import showcase
from previews.pictures.selectors import Picture
from previews.recipes import prompts
from previews.recipes import selectors as recipes
from previews.renders import rerender
from previews.renders import services as renders
from previews.renders.selectors import Previews, compare, previews_of
from registry.jobs import queue, worker_process
from registry.models import Job, Worker
from tests.previews import moving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from django.test import Client
    from pytest_django import Settings

    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db


@pytest.fixture
def bases(tmp_path: Path, tiny_folder: Path, settings: Settings) -> Callable[..., None]:
    """Serve the tiny base for pictures, for videos or for both."""
    moving.write_motion(tmp_path / "motion", tiny_folder)

    def serve(**said: bool) -> None:
        worker_bases._own.cache_clear()
        file = moving.write_bases(tmp_path / f"{len(said)}.toml", tiny_folder, **said)
        settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)

    serve()
    return serve


@pytest.fixture
def version(bases: Callable[..., None], publish: Callable[..., Version], noir: Adapter) -> Version:
    del bases
    return publish(noir)


def states(version: Version) -> dict[str, str]:
    return {render.base: render.state for render in version.renders.all()}


def test_pictures_and_videos_are_rendered_and_shown(
    version: Version, noir: Adapter, client: Client, ada: User
) -> None:
    assert states(version) == {"tiny": "queued", "tiny-motion": "queued"}
    jobs = {
        job.args["render_id"]: job.priority for job in Job.objects.filter(task="render_version")
    }
    ranks = {render.pk: render.rank for render in version.renders.all()}
    assert {ranks[pk]: priority for pk, priority in jobs.items()} == {
        0: queue.BATCH, 1: queue.RENEWAL,
    }  # fmt: skip
    worker_process.drain("render.miniature")
    assert set(states(version).values()) == {RenderState.READY}
    found = previews_of(version)
    assert (found.base, found.output, len(found.images)) == ("tiny", "image", 20)
    [films] = found.others
    assert (films.base, films.output, len(films.images)) == ("tiny-motion", "video", 4)
    assert found.advice
    assert not films.advice
    film = films.images[-1]
    assert (film.media_type, film.frames, film.fps, film.duration_s) == ("video/mp4", 4, 4, 1.0)
    noir.refresh_from_db()
    cover = covers_of([noir])[noir.pk]
    assert cover is not None
    assert not cover.is_film
    assert Control.objects.filter(media_type="video/mp4", frames=4).count() == 2
    exhibits = showcase.of_versions([version])[version.pk]
    assert [one.is_film for one in exhibits] == [False] * 10 + [True, True]
    assert exhibits[-1].url.endswith(".mp4")
    page = client.get("/ada/noir").content.decode()
    assert page.count("<video") == 4 + 1  # and that of the lightbox
    assert page.count("data-film-player") == 4
    assert 'preload="none"' in page
    told = client.get("/api/v1/adapters/ada/noir/versions/v1").json()["previews"]
    assert [one["media_type"] for one in told["images"]] == ["image/png"] * 20
    assert [one["media_type"] for one in told["others"][0]["images"]] == ["video/mp4"] * 4
    answer = client.get(film.animation, headers={"Range": "bytes=4-7"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (206, "video/mp4")
    assert b"".join(answer.streaming_content) == b"ftyp"  # type: ignore[attr-defined]
    assert client.get(film.animation.replace("mp4", "webp")).status_code == 404
    models = client.get("/api/v1/images?type=video").json()["items"]
    assert {one["type"] for one in models} == {"video"}
    assert len(models) == 2
    assert len(client.get("/api/v1/images").json()["items"]) == 15


def test_lists_have_no_pictures_of_a_base_whose_place_another_has(version: Version) -> None:
    worker_process.drain("render.miniature")
    shown = {one.image.render.base for one in showcase.of_versions([version])[version.pk]}
    assert shown == {"tiny", "tiny-motion"}
    Render.objects.filter(base="tiny").update(base="removed", trigger_words=["before"])
    renders.begin(version=version)
    worker_process.drain("render.miniature")
    shown = {one.image.render.base for one in showcase.of_versions([version])[version.pk]}
    assert shown == {"tiny", "tiny-motion"}


def test_failed_videos_are_rendered_again_for_their_owner(
    version: Version, client: Client, ada: User
) -> None:
    failed = version.renders.get(output="video")
    renders.cancel(render=failed, reason="out of film")
    assert "out of film" in client.get("/ada/noir").content.decode()
    client.force_login(ada)
    page = client.get("/ada/noir").content.decode()
    assert page.count("Render again") == 1
    client.post(re.findall(r'action="(/ada/noir/previews[^"]+)"', page)[0])
    again = version.renders.filter(output="video").first()
    assert again is not None
    assert (again.pk != failed.pk, again.state) == (True, "queued")


def test_own_prompts_may_be_default_ones_of_the_other_output(version: Version, ada: User) -> None:
    pictures, films = (plan.defaults for plan in recipes.plans_of(version.adapter))
    own = next(prompt for prompt in films if prompt not in pictures)
    prompts.change(actor=ada, adapter=version.adapter, prompts=[own])
    image, film = (one.recipe.prompts for one in recipes.planned_for(version))
    assert image == (*pictures, own)
    assert film == tuple(films)


def test_a_base_that_is_added_renders_what_is_published(
    bases: Callable[..., None], publish: Callable[..., Version], noir: Adapter
) -> None:
    bases(is_moving=False)
    version = publish(noir)
    worker_process.drain("render.miniature")
    assert states(version) == {"tiny": "ready"}
    assert renders.begin_missing() == 0
    bases()
    assert renders.begin_missing() == version.pk
    assert states(version) == {"tiny": "ready", "tiny-motion": "queued"}
    [job] = Job.objects.filter(task="render_version", state="queued")
    assert job.priority == queue.RENEWAL
    assert renders.begin_missing() == 0


def test_pictures_come_first_whichever_base_was_there_before(
    bases: Callable[..., None], publish: Callable[..., Version], noir: Adapter
) -> None:
    bases(is_still=False)
    version = publish(noir)
    worker_process.drain("render.miniature")
    found = previews_of(version)
    assert (found.base, found.state, found.others) == ("tiny-motion", "ready", ())
    noir.refresh_from_db()
    assert covers_of([noir])[noir.pk].is_film  # type: ignore[union-attr]
    bases()
    renders.begin_missing()
    worker_process.drain("render.miniature")
    assert previews_of(version).base == "tiny"
    assert not covers_of([noir])[noir.pk].is_film  # type: ignore[union-attr]


def test_a_render_that_waits_is_taken_over_by_the_first_base(
    bases: Callable[..., None],
    unserved: None,  # it comes after the bases
    publish: Callable[..., Version],
    noir: Adapter,
) -> None:
    version = publish(noir)
    assert states(version) == {"": "waiting"}
    bases()
    renders.begin(version=version)
    assert states(version) == {"tiny": "queued", "tiny-motion": "queued"}
    assert version.renders.count() == 2


def test_only_what_changed_is_rendered_again(version: Version) -> None:
    worker_process.drain("render.miniature")
    version.strength = 0.5
    version.save(update_fields=["strength"])
    found = rerender.run(is_dry=True)
    assert [(one.base, one.pictures, one.changes) for one in found.begun] == [
        ("tiny", 20, ("at: 1.0 → 0.5",)), ("tiny-motion", 4, ("strengths",)),
    ]  # fmt: skip
    assert found.versions == 1
    [still, film] = recipes.planned_for(version)
    assert (still.recipe.strengths, film.recipe.strengths) == ((0, 0.25, 0.5, 0.75, 1), (0, 0.5))


def test_bases_of_other_workers_are_known_with_their_output(
    bases: Callable[..., None], db: None
) -> None:
    announced = worker_bases.facts()
    assert [one["output"] for one in json.loads(json.dumps(announced))["bases"]] == [
        "video", "image",
    ]  # fmt: skip
    bases(is_still=False, is_moving=False)
    assert worker_bases.bases_for("miniature") == []
    now = timezone.now()
    Worker.objects.create(name="far:1", facts=announced, started_at=now, seen_at=now)
    assert [base.id for base in worker_bases.bases_for("miniature")] == ["tiny", "tiny-motion"]
    base: Any = worker_bases.base_for("miniature")
    assert base.output == "image"
    assert not Image.objects.exists()


def test_a_new_order_of_bases_is_written_to_renders(version: Version) -> None:
    version.renders.filter(base="tiny").update(rank=1)
    assert renders.rank_bases() == 1
    assert dict(version.renders.values_list("base", "rank")) == {"tiny": 0, "tiny-motion": 1}
    assert renders.rank_bases() == 0


def test_versions_are_compared_with_a_base_that_both_were_rendered_with() -> None:
    picture = Picture(id=1, prompt="a cat", seed=0, strength=1.0, width=8, height=8)
    small, large = (
        Previews(base=base, images=[picture], recipe={"base": base, "prompts": ["a cat"]})
        for base in ("small", "large")
    )
    both = dataclasses.replace(small, others=(large,))
    for pair in ((both, large), (large, both), (both, both)):
        found = compare(*pair)
        assert (len(found.pairs), found.differences) == (1, ())
    waiting = dataclasses.replace(small, images=[], others=(large,))
    assert compare(waiting, both).differences == ()
    assert compare(small, large).differences == ("base",)
