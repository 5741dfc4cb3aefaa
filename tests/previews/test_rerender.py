"""Previews are rendered again when another recipe would make them now, and not twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from previews import tasks
from previews.models import Recipe, RenderState
from previews.recipes import prompts
from previews.renders import rerender as rerendering
from previews.renders import services as renders
from registry.adapters import services as adapters
from registry.jobs import queue, worker_process
from registry.models import Event, Job, Version
from registry.versions import services as versions
from tests import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import DjangoAssertNumQueries, Settings

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run and draw nothing: what is asked here is which are begun."""
    monkeypatch.setattr(tasks, "_make", lambda *_: None)


@pytest.fixture
def version(rendered: Version) -> Version:
    return rendered


def rerender(*options: str) -> dict[str, Any]:
    out = StringIO()
    call_command("rerender", "--json", *options, stdout=out)
    return dict(json.loads(out.getvalue()))


def told(*options: str) -> list[tuple[str, int, list[str]]]:
    found = rerender(*options)["rendered_again"]
    return [
        (f"{one['adapter']} {one['version']}", one["pictures"], one["changes"]) for one in found
    ]


def age(version: Version, **changes: Any) -> None:
    """Have the version's last render been made by another recipe."""
    render = version.renders.first()
    assert render is not None
    assert render.recipe is not None
    document = {**render.recipe.document, **changes}
    digest = hashlib.sha256(str(changes).encode()).hexdigest()
    render.recipe = Recipe.objects.create(digest=digest, document=document)
    render.save()


def test_what_today_s_recipe_made_is_let_alone(version: Version) -> None:
    assert rerender() == {"dry_run": False, "looked_at": 1, "rendered_again": []}


def test_another_renderer_means_other_pictures(version: Version) -> None:
    age(version, renderer="lorary-0")
    assert told() == [("ada/noir v1", 20, ["renderer: lorary-0 → lorary-1"])]
    [job] = Job.objects.filter(task="render_version", state="queued")
    assert job.priority == queue.RENEWAL
    assert told() == []
    assert Event.objects.get(verb="rerendered").facts == {"count": 1}
    worker_process.drain("render.miniature")
    assert told() == []
    assert [one.state for one in version.renders.all()] == ["ready", "ready"]


def test_every_change_is_named(version: Version) -> None:
    age(version, steps=3, seeds=[1], prompts=["a cat"], base="old", edition=1)
    version.trigger_words = ["ink"]
    version.save()
    [(_name, _count, changes)] = told()
    assert changes == [
        "base: old → tiny",
        "edition: 1 → 3",
        "prompts",
        "seeds",
        "steps: 3 → 2",
        "trigger words",
    ]


def test_a_dry_run_begins_nothing(version: Version) -> None:
    age(version, steps=3)
    assert len(told("--dry-run")) == len(told("--dry-run")) == 1
    assert version.renders.count() == 1


def test_another_base_in_the_bases_file_is_another_recipe(
    version: Version, settings: Settings, bases_file: Path
) -> None:
    file = bases_file.with_name("other.toml")
    file.write_text(bases_file.read_text().replace("steps = 2", "steps = 4"))
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)
    assert told() == [("ada/noir v1", 20, ["steps: 2 → 4"])]


def test_changed_prompts_are_followed_once_the_bases_file_is_mended(
    version: Version, ada: User, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("previews.renders.rerender.rerender_all", lambda **_: None)
        prompts.change(actor=ada, adapter=noir, prompts=["a kite"])
    assert told() == [("ada/noir v1", 22, ["prompts"])]


def test_a_publication_looks_once_at_each_version_of_the_adapter(
    version: Version, noir: Adapter, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(2, 12):
        other = Version.objects.create(
            adapter=noir, number=number, revision=version.revision, author=version.author,
            state=version.state, published_at=version.published_at, family=version.family,
        )  # fmt: skip
        renders.begin(version=other)
    with django_assert_max_num_queries(20):
        rerendering.rerender_all(adapter=noir)


def test_what_failed_by_today_s_recipe_would_fail_again(version: Version) -> None:
    age(version, renderer="lorary-0")
    render = renders.begin(version=version)
    renders.fail(render=render, reason="It is half a file.")
    assert told() == []
    age(version, renderer="lorary-00")
    assert [name for name, *_ in told()] == ["ada/noir v1"]


def test_a_failure_by_another_recipe_is_tried_again(version: Version) -> None:
    version.renders.update(state=RenderState.FAILED, reason="It is half a file.")
    assert told() == []
    age(version, renderer="lorary-0")
    assert [name for name, *_ in told()] == ["ada/noir v1"]


def test_what_nobody_has_a_base_for_is_let_alone(
    version: Version, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "none.toml"
    file.write_text("")
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)
    assert rerender()["rendered_again"] == []


def test_one_adapter_or_one_family_is_looked_at(
    version: Version, ada: User, publish: Callable[..., Version]
) -> None:
    other = publish(adapters.create(actor=ada, name="blanc", kind="style", visibility="private"))
    worker_process.drain("render.miniature")
    for one in (version, other):
        age(one, renderer=f"lorary-0-{one.pk}")
    assert [name for name, *_ in told("--adapter", "ADA/blanc", "--dry-run")] == ["ada/blanc v1"]
    assert len(told("--family", "miniature", "--dry-run")) == 2
    assert rerender("--family", "sdxl")["looked_at"] == 0


def test_yanked_versions_are_shown_and_drafts_are_not(version: Version, ada: User) -> None:
    versions.yank(actor=ada, version=version, reason="It is too strong.")
    age(version, renderer="lorary-0")
    assert len(told("--dry-run")) == 1
    catalogue.put(Version.objects.filter(pk=version.pk), "draft")
    assert rerender()["looked_at"] == 0


def test_people_read_what_was_begun_and_why(version: Version) -> None:
    age(version, renderer="lorary-0")
    out = StringIO()
    call_command("rerender", "--dry-run", stdout=out)
    assert out.getvalue().splitlines() == [
        "ada/noir v1: 20 pictures with tiny (renderer: lorary-0 → lorary-1)",
        "1 version checked, 1 would be rendered again: 20 pictures",
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--adapter", "ada/none"), "no adapter “ada/none”"),
        (("--adapter", "noir"), "OWNER/NAME"),
        (("--family", "sdxxl"), "no base model “sdxxl”"),
    ],
)
def test_what_is_not_there_is_said(version: Version, options: tuple[str, ...], text: str) -> None:
    with pytest.raises(CommandError, match=text):
        rerender(*options)


def test_a_broken_bases_file_is_said(version: Version, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("bases = 3")
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=file)
    with pytest.raises(CommandError, match="broken"):
        rerender()
