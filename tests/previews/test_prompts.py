"""Prompts of owners: kept as numbered sets, rendered after the default ones."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, transaction

from previews import tasks
from previews.models import Image, PromptSet, Render, RenderState
from previews.recipes import prompts
from previews.recipes import selectors as recipes
from previews.renders import services as renders
from previews.renders.selectors import previews_of
from registry.cards import services as cards
from registry.errors import Forbidden, Invalid, NotFound
from registry.jobs import queue, worker_process
from registry.models import Blob, Event, Job, JobState
from registry.versions.details import Details
from training.miniature.tiny import write_tiny_lora

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from previews.renders.selectors import Previews
    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db

BICYCLE = "a {trigger} bicycle in a meadow"


@pytest.fixture
def version(served: None, noir: Adapter, publish: Callable[..., Version]) -> Version:
    return publish(noir)


@pytest.fixture
def second(
    version: Version, noir: Adapter, publish: Callable[..., Version], tmp_path: Path
) -> Version:
    other = write_tiny_lora(tmp_path / "other.safetensors", seed=9).read_bytes()
    return publish(noir, other)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run and draw nothing."""
    monkeypatch.setattr(tasks, "_make", lambda *_: None)


def defaults(adapter: Adapter) -> tuple[str, ...]:
    [plan] = recipes.plans_of(adapter)
    return plan.defaults


def recipe_of(version: Version) -> list[str]:
    render = version.renders.first()
    assert render is not None
    assert render.recipe is not None
    return list(render.recipe.document["prompts"])


def test_own_prompts_follow_the_default_ones(version: Version, noir: Adapter, ada: User) -> None:
    kept = prompts.change(actor=ada, adapter=noir, prompts=[f"  {BICYCLE}\n", "", "a\tkite"])
    assert kept is not None
    assert (kept.number, kept.prompts, kept.author) == (1, [BICYCLE, "a kite"], ada)
    assert recipe_of(version) == [*defaults(noir), BICYCLE, "a kite"]
    worker_process.drain("render.miniature")
    found = previews_of(version)
    assert (found.state, found.total) == ("ready", 24)
    assert {image.prompt for image in found.images} >= {
        "a neon glow bicycle in a meadow",
        "a kite, neon glow",
    }


def test_every_version_gets_them_and_versions_to_come(
    second: Version, noir: Adapter, ada: User, publish: Callable[..., Version], tiny_lora: bytes
) -> None:
    render_all()
    prompts.change(actor=ada, adapter=noir, prompts=[BICYCLE])
    first = noir.versions.get(number=1)
    assert recipe_of(first) == recipe_of(second) == [*defaults(noir), BICYCLE]
    third = publish(noir, write(tiny_lora))
    assert recipe_of(third) == recipe_of(second)


def render_all() -> None:
    """Call every render ready, without its pictures."""
    Render.objects.update(state=RenderState.READY)
    Job.objects.update(state=JobState.DONE)


def write(data: bytes) -> bytes:
    """Other bytes of the same adapter: a space more in its header."""
    size = int.from_bytes(data[:8], "little")
    return (size + 8).to_bytes(8, "little") + data[8 : 8 + size] + b" " * 8 + data[8 + size :]


def test_the_offered_version_comes_before_the_others(
    second: Version, noir: Adapter, ada: User
) -> None:
    render_all()
    noir.refresh_from_db()
    prompts.change(actor=ada, adapter=noir, prompts=[BICYCLE])
    jobs = Job.objects.filter(state="queued", task="render_version").order_by(
        "-priority", "turn", "id"
    )
    told = [(job.renders.get().version, job.priority) for job in jobs]
    assert told == [(second, queue.ASKED), (noir.versions.get(number=1), queue.RENEWAL)]


def test_pictures_of_before_are_shown_until_the_new_ones_are_there(
    version: Version, noir: Adapter, ada: User
) -> None:
    worker_process.drain("render.miniature")
    before = previews_of(version).images
    prompts.change(actor=ada, adapter=noir, prompts=[BICYCLE])
    found = previews_of(version)
    assert (found.state, found.done, found.total, found.images) == ("queued", 0, 22, before)
    worker_process.drain("render.miniature")
    assert len(previews_of(version).images) == 22


def test_each_change_is_a_number_with_its_author_and_an_event(
    version: Version, noir: Adapter, ada: User
) -> None:
    prompts.change(actor=ada, adapter=noir, prompts=[BICYCLE])
    prompts.change(actor=ada, adapter=noir, prompts=["a kite"])
    assert prompts.change(actor=ada, adapter=noir, prompts=[" a  kite "]) is not None
    prompts.reset(actor=ada, adapter=noir)
    prompts.reset(actor=ada, adapter=noir)
    told = [(one.number, one.prompts, one.author) for one in recipes.prompt_history(noir)]
    assert told == [(3, [], ada), (2, ["a kite"], ada), (1, [BICYCLE], ada)]
    events = Event.objects.filter(verb__startswith="prompts_").order_by("id")
    assert [(one.verb, one.subject, one.facts) for one in events] == [
        ("prompts_changed", "#1", {"count": 1}),
        ("prompts_changed", "#2", {"count": 1}),
        ("prompts_reset", "#3", {"count": 0}),
    ]


def test_a_reset_without_a_set_is_nothing(version: Version, noir: Adapter, ada: User) -> None:
    assert prompts.reset(actor=ada, adapter=noir) is None
    assert not PromptSet.objects.exists()


def test_the_way_back_finds_the_pictures_of_before(
    version: Version, noir: Adapter, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_process.drain("render.miniature")
    before = previews_of(version)
    prompts.change(actor=ada, adapter=noir, prompts=[BICYCLE])
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "_make", lambda *_: None)
        worker_process.drain("render.miniature")
    monkeypatch.setattr(tasks, "_engine", lambda _bases: pytest.fail("It draws again."))
    prompts.reset(actor=ada, adapter=noir)
    assert previews_of(version).done == 20
    worker_process.drain("render.miniature")
    found = previews_of(version)
    assert (found.state, found.done, found.render_id != before.render_id) == ("ready", 20, True)
    assert blobs_of(found) == blobs_of(before)


def test_pictures_whose_bytes_are_gone_are_not_taken_over(
    version: Version, noir: Adapter, ada: User
) -> None:
    worker_process.drain("render.miniature")
    Blob.objects.filter(pk=Image.objects.values("blob")[:1]).update(is_stored=False)
    prompts.change(actor=ada, adapter=noir, prompts=[BICYCLE])
    prompts.reset(actor=ada, adapter=noir)
    assert previews_of(version).done == 0


def blobs_of(found: Previews) -> list[int]:
    """Bytes of pictures, in their order."""
    ids = [image.id for image in found.images]
    return [Image.objects.get(pk=pk).blob_id for pk in ids]


def test_what_waits_in_the_queue_gets_the_new_prompts(
    version: Version, instant: None, noir: Adapter, ada: User
) -> None:
    prompts.change(actor=ada, adapter=noir, prompts=[BICYCLE])
    render = version.renders.get()
    assert (render.state, render.total) == ("queued", 22)
    assert worker_process.drain("render.miniature") == 1
    assert previews_of(version).state == "ready"


def test_what_runs_is_finished_and_rendered_again(
    version: Version,
    instant: None,
    noir: Adapter,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finish = renders.finish

    def slow(*, render: Render) -> None:
        monkeypatch.setattr(renders, "finish", finish)
        prompts.change(actor=ada, adapter=noir, prompts=[BICYCLE])
        assert version.renders.get().total == 20
        finish(render=render)

    monkeypatch.setattr(renders, "finish", slow)
    worker_process.drain("render.miniature")
    totals = [(one.state, one.total) for one in version.renders.all()]
    assert totals == [("ready", 22), ("ready", 20)]


def test_words_that_were_changed_while_it_ran_are_rendered_next(
    version: Version, instant: None, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = renders.finish

    def slow(*, render: Render) -> None:
        monkeypatch.setattr(renders, "finish", finish)
        said = Details(declared_family="miniature", trigger_words=("ink wash",))
        cards.edit_version(actor=ada, version=version, details=said)
        finish(render=render)

    monkeypatch.setattr(renders, "finish", slow)
    worker_process.drain("render.miniature")
    assert version.renders.count() == 2
    assert [one.trigger_words for one in version.renders.all()] == [["ink wash"], ["neon glow"]]


def test_strengths_that_were_recommended_while_it_ran_are_rendered_next(
    version: Version, instant: None, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = renders.finish

    def slow(*, render: Render) -> None:
        monkeypatch.setattr(renders, "finish", finish)
        said = Details(declared_family="miniature", trigger_words=("neon glow",), strength=2.0)
        cards.edit_version(actor=ada, version=version, details=said)
        finish(render=render)

    monkeypatch.setattr(renders, "finish", slow)
    worker_process.drain("render.miniature")
    documents = [one.recipe.document for one in version.renders.all() if one.recipe]
    assert [max(one["strengths"]) for one in documents] == [2.0, 1.0]


def test_a_render_that_was_given_up_is_not_made_ready_after_all(version: Version) -> None:
    render = version.renders.get()
    renders.fail(render=render, reason="It was cancelled.")
    renders.finish(render=render)
    assert version.renders.get().state == RenderState.FAILED


def test_a_family_that_nobody_serves_keeps_its_prompts_for_later(
    unserved: None,
    noir: Adapter,
    ada: User,
    publish: Callable[..., Version],
    settings: Settings,
    bases_file: Path,
) -> None:
    version = publish(noir)
    prompts.change(actor=ada, adapter=noir, prompts=[BICYCLE])
    assert previews_of(version).state == "waiting"
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=bases_file)
    renders.wake_waiting()
    assert version.renders.get().total == 22


def test_a_broken_bases_file_is_no_reason_to_lose_what_was_typed(
    version: Version, noir: Adapter, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_all()

    def broken(_version: Version) -> Any:
        raise recipes_broken

    from previews.render import BasesInvalid  # noqa: PLC0415 - only here

    recipes_broken = BasesInvalid("bases.toml: broken")
    monkeypatch.setattr(recipes, "planned_for", broken)
    prompts.change(actor=ada, adapter=noir, prompts=[BICYCLE])
    assert recipes.own_prompts(noir) == [BICYCLE]
    assert version.renders.count() == 1


# --- What is refused -------------------------------------------------------------------------


def refused(adapter: Adapter, actor: User, *texts: str) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        prompts.change(actor=actor, adapter=adapter, prompts=texts)
    assert not PromptSet.objects.exists()
    return dict(caught.value.facts["fields"])


def test_seven_prompts_are_too_many(version: Version, noir: Adapter, ada: User) -> None:
    faults = refused(noir, ada, *(f"a cat, {n}" for n in range(6)), "x" * 1001)
    [text] = faults.pop("prompts")
    assert not faults
    assert text == "At most 6 prompts; you entered 7."
    prompts.change(actor=ada, adapter=noir, prompts=[*(f"a cat, {n}" for n in range(6)), " "])


def test_a_long_prompt_is_refused_by_its_place(version: Version, noir: Adapter, ada: User) -> None:
    faults = refused(noir, ada, "a cat", "x" * 1001, "x" * 100_000)
    assert faults.keys() == {"prompts.1", "prompts.2"}
    assert "1000 characters; this prompt has 1001" in faults["prompts.1"][0]


@pytest.mark.parametrize("text", ["a\0cat", "a\x1bcat", "a\ud800cat"])
def test_characters_that_nobody_sees_are_refused(
    version: Version, noir: Adapter, ada: User, text: str
) -> None:
    assert refused(noir, ada, text).keys() == {"prompts.0"}


def test_default_prompts_are_refused_politely(version: Version, noir: Adapter, ada: User) -> None:
    one, two, *_others = defaults(noir)
    words_in_place = one.replace("{trigger}", "Neon Glow").upper()
    faults = refused(noir, ada, f" {one}", words_in_place, two)
    assert faults.keys() == {"prompts.0", "prompts.1", "prompts.2"}
    assert "which is rendered anyway" in faults["prompts.0"][0]


def test_a_prompt_twice_is_refused(version: Version, noir: Adapter, ada: User) -> None:
    assert refused(noir, ada, "a cat", "A  Cat, neon glow").keys() == {"prompts.1"}


def test_only_owners_change_prompts(version: Version, noir: Adapter, bob: User, ada: User) -> None:
    with pytest.raises(Forbidden):
        prompts.change(actor=bob, adapter=noir, prompts=["a cat"])
    noir.visibility = "private"
    noir.save(update_fields=["visibility"])
    with pytest.raises(NotFound):
        prompts.reset(actor=bob, adapter=noir)
    prompts.change(actor=ada, adapter=noir, prompts=["a cat"])


def test_an_adapter_without_versions_has_prompts_as_well(noir: Adapter, ada: User) -> None:
    kept = prompts.change(actor=ada, adapter=noir, prompts=["a cat"])
    assert kept is not None
    assert kept.number == 1


def test_a_number_names_one_set(noir: Adapter, ada: User) -> None:
    PromptSet.objects.create(adapter=noir, number=1, author=ada)
    with pytest.raises(IntegrityError), transaction.atomic():
        PromptSet.objects.create(adapter=noir, number=1, author=ada)
