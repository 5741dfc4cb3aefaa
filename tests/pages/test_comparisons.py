"""Two versions side by side."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from previews.models import Image, Recipe
from registry.models import Adapter, Version
from registry.versions import blocking
from tests import catalogue
from tests.pages.files import lora
from tests.pages.pictures import DOCUMENT, render

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import User

pytestmark = pytest.mark.django_db

PATH = "/ada/noir/compare"


@pytest.fixture
def v2(noir: Adapter, v1: Version) -> Version:
    """Two versions with all pictures by the same recipe."""
    version = catalogue.release(noir, lora(8), path="noir.safetensors")
    for one in (v1, version):
        render(one, "ready", 20)
    return version


def ids(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'<img src="/media/images/(\d+).png"', page)]


def page_of(client: Client, query: str = "") -> str:
    answer = client.get(PATH + query, follow=True)
    assert answer.status_code == 200
    return str(answer.content.decode())


def other_recipe(version: Version, **changes: Any) -> None:
    recipe = Recipe.objects.create(digest="e" * 64, document=DOCUMENT | changes)
    version.renders.update(recipe=recipe)


def test_pictures_stand_in_pairs_by_strength(client: Client, v1: Version, v2: Version) -> None:
    shown = ids(page_of(client, "?a=v1&b=v2"))
    rows = Image.objects.in_bulk(shown)
    pairs = [(rows[left], rows[right]) for left, right in zip(*[iter(shown)] * 2, strict=True)]
    assert [left.strength for left, _right in pairs] == [0, 0.25, 0.5, 0.75, 1]
    for left, right in pairs:
        assert left.render.version == v1
        assert right.render.version == v2
        for said in ("prompt_index", "seed", "strength"):
            assert getattr(left, said) == getattr(right, said)


def test_prompt_seed_and_sides_can_be_chosen(client: Client, v1: Version, v2: Version) -> None:
    page = page_of(client, "?a=v2&b=v1&prompt=1&seed=2")
    first = Image.objects.get(pk=ids(page)[0])
    assert (first.render.version, first.prompt_index, first.seed) == (v2, 1, 2)
    assert '<option value="ada/noir@v2" selected>' in page
    assert 'name="prompt" value="1" data-submit checked' in page
    assert 'name="seed" value="2" data-submit checked' in page


@pytest.mark.parametrize("query", ["", "?prompt=9&seed=x", "?a=&b=&prompt=²"])
def test_what_is_not_said_is_the_newest_two(client: Client, v2: Version, query: str) -> None:
    page = page_of(client, query)
    assert "Noir: v1 and v2 side by side" in page
    assert len(ids(page)) == 10


def test_the_same_recipe_needs_no_remark(client: Client, v2: Version) -> None:
    page = page_of(client)
    assert 'class="note"' not in page
    assert "Facts" in page


def test_other_settings_are_told(client: Client, v2: Version) -> None:
    other_recipe(v2, steps=30, seeds=[1, 9])
    page = page_of(client)
    assert "The recipes differ in steps, so not every difference comes from the version." in page
    assert "The recipes have different seeds; only common ones are shown." in page


def test_other_editions_are_not_compared(client: Client, v2: Version) -> None:
    other_recipe(v2, edition=2)
    page = page_of(client)
    assert not ids(page)
    assert "The versions were rendered with editions 1 and 2 of the recipe." in page


def test_pictures_that_only_one_has_are_left_out(client: Client, v2: Version) -> None:
    other_recipe(v2, prompts=["c", "b"])
    page = page_of(client)
    assert "a house" in page
    assert {image.prompt_index for image in Image.objects.filter(pk__in=ids(page))} == {1}
    Image.objects.filter(render__version=v2).delete()
    page = page_of(client)
    assert not ids(page)
    assert "v2 has no pictures to compare" in page


def test_nothing_in_common_is_told(client: Client, v2: Version) -> None:
    other_recipe(v2, prompts=["c", "d"])
    page = page_of(client)
    assert not ids(page)
    assert "The versions have no pictures with the same prompt" in page


def test_other_trigger_words_are_told(client: Client, v2: Version) -> None:
    Image.objects.filter(render__version=v2).update(prompt="a cat, ink wash")
    assert "The trigger words differ" in page_of(client)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["noir light", "noir light"], "a cat, noir light</p>"),
        (["noir light", "ink wash"], "a cat, …</p>"),
    ],
)
def test_a_prompt_has_a_gap_where_trigger_words_differ(
    client: Client, v1: Version, v2: Version, words: list[str], shown: str
) -> None:
    recipe = Recipe.objects.create(
        digest="d" * 64, document=DOCUMENT | {"prompts": ["a cat, {trigger}", "b"]}
    )
    for version, its in zip((v1, v2), words, strict=True):
        version.renders.update(recipe=recipe)
        version_images = Image.objects.filter(render__version=version, prompt_index=0)
        version_images.update(prompt=f"a cat, {its}")
    page = page_of(client)
    assert "{trigger}" not in page
    assert shown in page


def test_a_version_that_waits_says_why(client: Client, v2: Version) -> None:
    v2.renders.all().delete()
    assert "it has not been rendered yet" in page_of(client)
    render(v2, "failed", reason="Too large")
    assert "v2 has no pictures to compare: Too large." in page_of(client)


def test_one_version_beside_itself_is_told(client: Client, v2: Version) -> None:
    assert "Both sides are the same version" in page_of(client, "?a=v2&b=v2")


@pytest.mark.parametrize("query", ["?a=v9", "?b=v0", "?a=%3Cscript%3E", "?a=" + "v" * 5000])
def test_unknown_versions_are_absent(client: Client, v2: Version, query: str) -> None:
    answer = client.get(PATH + query)
    assert answer.status_code == 404
    assert b"<script>" not in answer.content


def test_withdrawn_versions_drafts_and_private_adapters_are_absent(
    client: Client, bob: User, noir: Adapter, v2: Version
) -> None:
    catalogue.put(Version.objects.filter(pk=v2.pk), "withdrawn")
    assert client.get(PATH + "?b=v2").status_code == 404
    catalogue.put(Version.objects.filter(pk=v2.pk), "draft")
    assert client.get(PATH + "?b=v2").status_code == 404
    catalogue.put(Version.objects.filter(pk=v2.pk), "yanked")
    assert client.get(PATH + "?b=v2", follow=True).status_code == 200
    Adapter.objects.filter(pk=noir.pk).update(visibility="private")
    client.force_login(bob)
    assert client.get(PATH).status_code == 404


def test_a_blocked_adapter_says_why(client: Client, v1: Version, v2: Version) -> None:
    blocking.block(actor=None, thing=v1.adapter, reason="A claim")
    answer = client.get("/compare?a=ada/noir@v1&b=ada/noir@v2")
    assert (answer.status_code, "A claim" in answer.content.decode()) == (451, True)


def test_an_adapter_without_versions_has_nothing_to_compare(client: Client, noir: Adapter) -> None:
    Adapter.objects.update(latest_version=None)
    catalogue.put(noir.versions.all(), "draft")
    assert client.get(PATH).status_code == 404


def test_the_versions_tab_leads_here_preferably_to_pictures(
    client: Client, noir: Adapter, v1: Version, v2: Version
) -> None:
    link = 'href="/compare?a=ada/noir@v1&amp;b=ada/noir@v2"'
    for version in ("v1", "v2"):
        assert link in client.get(f"/ada/noir?v={version}").content.decode()
    v3 = catalogue.release(noir, lora(2), path="noir.safetensors")
    newest = link.replace("v2", "v3").replace("v1", "v2")
    assert newest in client.get("/ada/noir").content.decode()
    render(v3, "ready", 20)
    v2.renders.update(state="failed", reason="No.")
    assert link.replace("v2", "v3") in client.get("/ada/noir").content.decode()


def test_questions_do_not_grow_with_pictures(
    client: Client, v2: Version, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    path = "/compare?a=ada/noir@v1&b=ada/noir@v2"
    client.get(path)  # requests the comparison of the weights
    with django_assert_max_num_queries(16):
        client.get(path)
    with django_assert_max_num_queries(18):
        client.get("/ada/noir")
