"""Try-outs of stacks: what is asked, what is refused, what becomes of it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from previews import tasks, worker_bases
from previews.models import Control, Image, Recipe, Render, RenderState, Tryout
from previews.render.output.images import decode
from previews.renders import services as renders
from previews.tryouts import requests, selectors
from previews.tryouts import services as tryouts
from registry import storage, sweep
from registry.adapters import services as adapters
from registry.errors import (
    Invalid,
    NotFound,
    StateConflict,
    Unauthenticated,
)
from registry.jobs import queue, worker_process
from registry.models import Job, JobState, Version, VersionState
from tests import catalogue
from tests.previews.stacks import alone, finished, refusal, stack_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import Adapter, User

    Own = Callable[..., None]

pytestmark = pytest.mark.django_db
RESTORED = "v1"


@pytest.fixture
def v1(served: None, noir: Adapter, publish: Callable[..., Version]) -> Version:
    return noir.versions.first() or alone(publish(noir))


@pytest.fixture
def other(served: None, bob: User, publish: Callable[..., Version]) -> Version:
    adapter = adapters.create(actor=bob, name="ink", kind="style")
    return alone(publish(adapter, words=("ink wash",)))


def stored() -> set[str]:
    return {entry.name for entry in storage.store().names()}


# --- What is asked is rendered ------------------------------------------------------------------


def test_a_stack_is_rendered_as_it_was_asked(ada: User, v1: Version, other: Version) -> None:
    asked = tryouts.create(actor=ada, request=stack_of((v1, 0.8), (other, -0.5), width=96, steps=3))
    render = finished(asked)
    assert render.state == RenderState.READY
    [picture] = render.images.all()
    assert (picture.width, picture.height, picture.seed) == (96, 64, 5)
    assert picture.prompt == "a red boat, neon glow, ink wash"
    with storage.store().open(picture.blob.sha256) as handle:
        said = decode(handle.read()).document
    weights = {one["name"]: one["strength"] for one in said["adapters"]}
    assert weights == {"noir-v1": 0.8, "ink-v1": -0.5}
    assert said["recipe"]["steps"] == 3


def test_the_picture_without_the_stack_comes_along_when_asked_for(ada: User, v1: Version) -> None:
    render = finished(tryouts.create(actor=ada, request=stack_of((v1, 1.0), compares=True)))
    without, with_it = render.images.all()
    assert (without.strength, with_it.strength) == (0.0, 1.0)
    assert without.blob != with_it.blob
    assert without.prompt == with_it.prompt
    assert not Control.objects.exists()  # it would outlive the try-out, with its prompt


def test_what_is_left_out_comes_from_the_base_and_the_seed_by_chance(
    ada: User, v1: Version
) -> None:
    seeds = set()
    for _attempt in range(3):
        asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0), seed=None))
        assert asked.render.recipe is not None
        said = asked.render.recipe.document
        assert (said["width"], said["height"], said["steps"]) == (64, 64, 2)
        seeds |= set(said["seeds"])
    assert len(seeds) == 3


def test_trigger_words_can_be_left_out(ada: User, v1: Version) -> None:
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0), uses_triggers=False))
    assert asked.render.recipe is not None
    assert asked.render.recipe.document["prompts"] == ["a red boat"]


def test_each_version_has_a_trigger_word_in_and_none_is_there_twice(
    served: None, ada: User, publish: Callable[..., Version]
) -> None:
    lists = [("ink", "wash"), ("Ink", "fog"), ("snow",), ("neon",), ("rust",)]
    stack = [
        (publish(adapters.create(actor=ada, name=f"n{n}", kind="style"), words=words), 1.0)
        for n, words in enumerate(lists)
    ]
    asked = tryouts.create(actor=ada, request=stack_of(*stack))
    assert asked.render.recipe is not None
    assert asked.render.recipe.document["prompts"] == ["a red boat, ink, snow, neon, rust"]


def test_running_previews_give_way_to_a_try_out_and_go_on_after_it(
    ada: User, v1: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    previews, keep, asked = renders.begin(version=v1), renders.keep_pictures, list[Tryout]()

    def keep_and_ask(**kept: Any) -> None:
        keep(**kept)
        if not asked:
            asked.append(tryouts.create(actor=ada, request=stack_of((v1, 1.0))))

    monkeypatch.setattr(renders, "keep_pictures", keep_and_ask)
    worker_process.drain("render.miniature")
    previews.refresh_from_db()
    assert previews.state == RenderState.READY
    assert previews.images.count() == previews.total
    assert previews.job is not None
    assert previews.job.attempt == 1
    tried = asked[0].render.images.get().pk
    before = previews.images.filter(pk__lt=tried).count()
    assert 0 < before < previews.total - before


def test_a_try_out_goes_before_previews(ada: User, v1: Version) -> None:
    renders.begin(version=v1)
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0)))
    first = queue.claim("render.miniature")
    assert first is not None
    assert first.args == {"render_id": asked.render_id}


# --- Refusals -----------------------------------------------------------------------------------


def test_strangers_are_asked_to_sign_in(v1: Version) -> None:
    assert isinstance(refusal(None, stack_of((v1, 1.0))), Unauthenticated)


#: What somebody says, and the field that does not fit.
MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"prompt": "x" * 2001}, "prompt"),
    ({"prompt": "x" * 100_000}, "prompt"),
    ({"prompt": "x" * 1995}, "prompt"),  # with the trigger words it is too long
    ({"prompt": "  ", "uses_triggers": False}, "prompt"),
    ({"prompt": "a\x00b"}, "prompt"),
    ({"prompt": "a\ud800b"}, "prompt"),
    ({"negative": "x" * 2001}, "negative"),
    ({"negative": "\x1b[31m"}, "negative"),
    ({"seed": -1}, "seed"),
    ({"seed": 2**32}, "seed"),
    ({"width": 60}, "width"),
    ({"width": 24}, "width"),
    ({"width": 104}, "width"),
    ({"height": 0}, "height"),
    ({"width": 96, "height": 72}, "height"),
    ({"steps": 0}, "steps"),
    ({"steps": 5}, "steps"),
]


def test_values_that_do_not_fit_are_named(ada: User, v1: Version) -> None:
    for said, field in MISFITS:
        error = refusal(ada, stack_of((v1, 1.0), **said))
        assert isinstance(error, Invalid)
        assert list(error.facts["fields"]) == [field], said


def test_every_fault_is_told_at_once(ada: User, v1: Version) -> None:
    error = refusal(ada, stack_of((v1, 1.0), prompt="x" * 2001, seed=-1, width=7))
    assert set(error.facts["fields"]) == {"prompt", "seed", "width"}
    assert "width: Enter a multiple of 8 from 32 to 96." in str(error.detail)


def test_strengths_out_of_range_are_refused(ada: User, v1: Version) -> None:
    for strength in (2.1, -2.1, float("nan"), float("inf")):
        assert "strength" in str(refusal(ada, stack_of((v1, strength))).detail)


def test_an_empty_stack_a_large_one_and_one_twice_are_refused(ada: User, v1: Version) -> None:
    assert "Add a version first" in str(refusal(ada, stack_of()).detail)
    assert "at most 5" in str(refusal(ada, stack_of(*[(v1, 1.0)] * 6)).detail)
    assert "twice" in str(refusal(ada, stack_of((v1, 1.0), (v1, 0.5))).detail)


def test_a_stack_of_two_families_names_which_differs(
    ada: User, v1: Version, other: Version
) -> None:
    other.family = "sdxl"
    other.save()
    error = refusal(ada, stack_of((v1, 1.0), (other, 1.0)))
    assert str(error.detail).startswith("“bob/ink@v1” is for Stable Diffusion XL")
    assert "but “ada/noir@v1” is for Miniature" in str(error.detail)


def test_a_version_of_no_known_family_is_refused(ada: User, v1: Version) -> None:
    v1.family = ""
    v1.save()
    assert isinstance(refusal(ada, stack_of((v1, 1.0))), StateConflict)


@pytest.mark.parametrize("state", [VersionState.DRAFT, VersionState.WITHDRAWN])
def test_only_published_versions_are_tried(ada: User, v1: Version, state: VersionState) -> None:
    catalogue.put(Version.objects.filter(pk=v1.pk), state)
    v1.refresh_from_db()
    assert isinstance(refusal(ada, stack_of((v1, 1.0))), StateConflict)


def test_a_yanked_version_can_be_tried(ada: User, v1: Version) -> None:
    v1.state = VersionState.YANKED
    v1.save()
    assert (
        finished(tryouts.create(actor=ada, request=stack_of((v1, 1.0)))).state == RenderState.READY
    )


def test_what_one_may_not_see_is_absent(ada: User, other: Version) -> None:
    other.adapter.visibility = "private"
    other.adapter.save()
    assert isinstance(refusal(ada, stack_of((other, 1.0))), NotFound)


def test_a_blocked_adapter_is_tried_by_nobody(ada: User, v1: Version) -> None:
    v1.adapter.blocked_reason = "copied"
    v1.adapter.save()
    assert isinstance(refusal(ada, stack_of((v1, 1.0))), NotFound)


def test_a_family_that_nobody_serves_is_said(
    v1: Version, ada: User, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "none.toml").write_text("")
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=tmp_path / "none.toml")
    error = refusal(ada, stack_of((v1, 1.0)))
    assert "no renderer for Miniature" in str(error.detail)


# --- Life ---------------------------------------------------------------------------------------


def test_removing_a_queued_one_cancels_it(ada: User, v1: Version) -> None:
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0)))
    tryouts.remove(actor=ada, key=asked.key)
    render = finished(asked)
    assert (render.state, render.images.count()) == (RenderState.FAILED, 0)
    assert asked.render.job is not None
    assert Job.objects.get(pk=asked.render.job.pk).state == JobState.CANCELLED
    with pytest.raises(NotFound):
        selectors.get(ada, asked.key)
    with pytest.raises(NotFound):
        tryouts.remove(actor=ada, key=asked.key)


def test_removing_a_running_one_stops_it_between_steps(
    ada: User, v1: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0), steps=4))
    monkeypatch.setattr(tasks, "CANCEL_S", 0.0)
    looks = []
    look = queue.JobRun.check_cancelled

    def looking(run: queue.JobRun) -> None:
        looks.append(run)
        if len(looks) == 3:
            tryouts.remove(actor=ada, key=asked.key)
        look(run)

    monkeypatch.setattr(queue.JobRun, "check_cancelled", looking)
    render = finished(asked)
    assert len(looks) == 3
    assert (render.state, render.images.count()) == (RenderState.FAILED, 0)
    assert Job.objects.get(pk=render.job_id or 0).state == JobState.CANCELLED


def test_only_the_asker_removes_and_shares(ada: User, bob: User, v1: Version) -> None:
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0)))
    with pytest.raises(NotFound):
        tryouts.remove(actor=bob, key=asked.key)
    with pytest.raises(NotFound):
        tryouts.set_shared(actor=bob, key=asked.key, is_shared=True)
    tryouts.set_shared(actor=ada, key=asked.key, is_shared=True)
    with pytest.raises(NotFound):
        tryouts.set_shared(actor=bob, key=asked.key, is_shared=False)
    assert selectors.get(bob, asked.key) == asked


def test_an_expired_one_is_gone_at_once_and_its_rows_with_the_next_sweep(
    ada: User, v1: Version, own_settings: Own
) -> None:
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0)))
    finished(asked)
    renders.begin(version=v1)
    then = timezone.now() - timedelta(days=8)
    Tryout.objects.update(created_at=then, expires_at=then + timedelta(days=7))
    with pytest.raises(NotFound):
        selectors.get(ada, asked.key)
    assert not selectors.listing(ada)
    sweep.run()
    assert not Tryout.objects.exists()
    assert not Image.objects.filter(render=asked.render).exists()
    assert not Recipe.objects.filter(pk=asked.render.recipe_id or 0).exists()
    assert v1.renders.exists()
    own_settings(grace_days=0)
    loose = stored()
    sweep.run()
    sweep.run()
    assert stored() < loose


def test_a_dry_sweep_removes_none(ada: User, v1: Version) -> None:
    tryouts.create(actor=ada, request=stack_of((v1, 1.0)))
    Tryout.objects.update(expires_at=timezone.now())
    sweep.run(is_dry=True)
    assert Render.objects.get(kind="tryout").state == RenderState.QUEUED


def test_one_that_still_waits_when_it_expires_is_ended(ada: User, v1: Version) -> None:
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0)))
    Tryout.objects.update(expires_at=timezone.now())
    tryouts.expire()
    assert finished(asked).state == RenderState.FAILED


def test_a_recipe_that_others_use_stays(ada: User, bob: User, v1: Version) -> None:
    mine, theirs = (tryouts.create(actor=who, request=stack_of((v1, 1.0))) for who in (ada, bob))
    assert mine.render.recipe_id == theirs.render.recipe_id
    long_ago = timezone.now() - timedelta(days=8)
    Tryout.objects.filter(pk=mine.pk).update(created_at=long_ago, expires_at=long_ago)
    assert tryouts.expire() == 1
    assert Recipe.objects.filter(pk=theirs.render.recipe_id or 0).exists()


def test_one_whose_base_went_away_waits_and_goes_on(
    ada: User, v1: Version, settings: Settings, tmp_path: Path, bases_file: Path
) -> None:
    asked = tryouts.create(actor=ada, request=stack_of((v1, 1.0)))
    (tmp_path / "none.toml").write_text("")
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=tmp_path / "none.toml")
    render = finished(asked)
    assert (render.state, render.reason) == ("waiting", "waiting for a worker for Miniature")
    assert tryouts.wake_waiting() == 0
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=bases_file)
    assert tryouts.wake_waiting() == 1
    assert tryouts.wake_waiting() == 0
    assert finished(asked).state == RenderState.READY


def test_limits_are_those_of_the_base(served: None) -> None:
    base = worker_bases.base_for("miniature")
    assert base is not None
    limits = requests.limits_of(base)
    assert (limits.widths, limits.heights) == ((32, 96), (32, 96))
    assert (limits.most_pixels, limits.most_steps) == (6144, 4)
