"""``/api/v1/images`` and the pictures of versions: what this hub rendered, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from previews.models import Cover, Image, Recipe, Sample
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.models import Blob, Version
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.pages import pictures

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db

RECIPE = {**pictures.DOCUMENT, "negative": "blurry", "guidance": 7.5, "sampler": "Euler a",
          "base": "tiny"}  # fmt: skip


@pytest.fixture
def shown(first: Version) -> Version:
    """Two prompts, two seeds, strengths from 0 to 1."""
    pictures.render(first, "ready", 20)
    Recipe.objects.update(document=RECIPE)
    return first


def items(client: Client, query: str = "") -> list[dict[str, Any]]:
    answer = client.get(f"/api/v1/images?{query}")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_a_picture_says_how_it_was_made(stranger: Client, shown: Version) -> None:
    told = items(stranger, "sort=Oldest")[3]
    image = Image.objects.get(pk=told["id"])
    assert told["url"] == f"http://testserver/media/images/{image.pk}.png"
    assert (told["width"], told["height"], told["type"]) == (128, 128, "image")
    assert (told["nsfw"], told["nsfwLevel"], told["browsingLevel"]) == (False, "None", 1)
    assert (told["hash"], told["username"], told["baseModel"]) == ("", "ada", "SD 1.5")
    assert (told["postId"], told["modelVersionIds"]) == (image.render_id, [shown.pk])
    assert told["createdAt"].endswith("Z")
    assert set(told["stats"].values()) == {0}
    assert told["meta"] == {
        "prompt": "a cat", "negativePrompt": "blurry", "seed": 1, "steps": 8, "sampler": "Euler a",
        "cfgScale": 7.5, "Size": "128x128", "Model": "tiny",
        "resources": [{"name": "Noir", "type": "lora", "weight": 1.0,
                       "hash": shown.files.get(is_primary=True).sha256[:10].upper()}],
        "civitaiResources": [{"type": "lora", "modelVersionId": shown.pk, "weight": 1.0}],
    }  # fmt: skip
    assert all(one["meta"] is None for one in items(stranger, "withMeta=false"))


def test_a_version_shows_the_pictures_nearest_to_its_strength(
    stranger: Client, shown: Version
) -> None:
    told = stranger.get(f"/api/v1/model-versions/{shown.pk}").json()["images"]
    assert len(told) == 10
    strengths = [one["meta"]["civitaiResources"][0]["weight"] for one in told]
    assert strengths == [1.0] * 4 + [0.75] * 4 + [0.5] * 2
    for one in told:
        assert (one["nsfwLevel"], one["type"], one["hash"]) == (1, "image", "")
        assert (one["width"], one["height"]) == (128, 128)
        assert one["meta"]["prompt"]
    (model,) = stranger.get("/api/v1/models").json()["items"]
    assert model["modelVersions"][0]["images"] == told


def test_what_no_adapter_changed_and_what_people_brought_is_left_out(
    stranger: Client, ada: User, shown: Version
) -> None:
    Sample.objects.create(
        version=shown, author=ada, state="ready", blob=Blob.objects.first(), width=9, height=9
    )
    told = items(stranger)
    assert len(told) == 16
    assert not {one["id"] for one in told} & {one.pk for one in Image.objects.filter(strength=0)}


def test_pictures_of_an_unfinished_render_are_not_shown(stranger: Client, first: Version) -> None:
    pictures.render(first, "running", 10)
    assert items(stranger) == []
    assert stranger.get(f"/api/v1/model-versions/{first.pk}").json()["images"] == []


def test_filters_filter(stranger: Client, ada: User, shown: Version) -> None:
    other = adapters.create(actor=ada, name="day", maturity="mature", tags=["light"])
    second = catalogue.release(other, kohya(DENOISERS["sdxl", "diffusers"]))
    render = pictures.render(second, "ready", 2)
    (image,) = render.images.exclude(strength=0)
    tag = other.tags.get().pk
    one, many = {image.pk}, {row["id"] for row in items(stranger)} - {image.pk}
    for query, found in {
        f"modelId={other.pk}": one, f"modelVersionId={shown.pk}": many, f"imageId={image.pk}": one,
        f"postId={render.pk}": one, "username=ada": one | many, "username=bob": set(),
        "nsfw=false": many, "nsfw=None": many, "nsfw=Soft": many, "nsfw=Mature": one | many,
        "nsfw=X": one | many, "nsfw=true": one | many, "browsingLevel=1": many,
        "browsingLevel=4": one, "browsingLevel=31&nsfw=None": one | many,
        "baseModels=SDXL%201.0": one, "baseModels=SD%201.5": many, "type=video": set(),
        "type=image": one | many, "type=audio": set(),
        f"tags={tag}": one, "period=Day": one | many, f"userId={ada.pk}": one | many,
        f"userId={ada.pk + 1}": set(), "limit=0": set(),
    }.items():  # fmt: skip
        assert {row["id"] for row in items(stranger, query)} == found, query


def test_each_picture_has_its_own_level(stranger: Client, shown: Version) -> None:
    wild, mild = Image.objects.filter(strength=1).order_by("pk")[:2]
    Image.objects.filter(pk=wild.pk).update(maturity="explicit")
    Image.objects.filter(pk=mild.pk).update(maturity="suggestive")
    for query, found in {
        "browsingLevel=8": {wild.pk}, "browsingLevel=16": {wild.pk}, "browsingLevel=2": {mild.pk},
        "browsingLevel=10": {wild.pk, mild.pk}, "browsingLevel=4": set(),
    }.items():  # fmt: skip
        assert {row["id"] for row in items(stranger, query)} == found, query
    (one,) = items(stranger, "browsingLevel=8")
    assert (one["nsfw"], one["nsfwLevel"], one["browsingLevel"]) == (True, "X", 8)
    assert wild.pk not in {row["id"] for row in items(stranger, "nsfw=Mature")}
    adapter = shown.adapter
    told = stranger.get(f"/api/v1/models/{adapter.pk}").json()["modelVersions"][0]["images"]
    assert {row["nsfwLevel"] for row in told if row["id"] == wild.pk} <= {8}
    for query, is_there in (("nsfw=false", False), ("browsingLevel=9", True), ("", True)):
        (model,) = stranger.get(f"/api/v1/models?{query}").json()["items"]
        levels = {row["nsfwLevel"] for row in model["modelVersions"][0]["images"]}
        assert (8 in levels) == is_there, query


def test_cursors_and_pages_walk_all_pictures_once(stranger: Client, shown: Version) -> None:
    for sort in ("Newest", "Oldest", "Random"):
        found, place = [], f"/api/v1/images?limit=5&sort={sort}"
        while place:
            told = stranger.get(place).json()
            found += [row["id"] for row in told["items"]]
            place = told["metadata"].get("nextPage", "")
        assert found == sorted(found, reverse=sort != "Oldest")
        assert len(set(found)) == len(found) == 16
    told = stranger.get("/api/v1/images?limit=5&page=4").json()
    assert (len(told["items"]), "nextPage" in told["metadata"]) == (1, False)


def test_pictures_follow_who_may_see_their_version(
    stranger: Client, as_ada: Client, ada: User, noir: Adapter, shown: Version
) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    assert items(stranger) == []
    assert len(items(as_ada)) == 16
    cards.edit_adapter(actor=ada, adapter=noir, visibility="public")
    catalogue.put(Version.objects.all(), "yanked")
    assert items(stranger) == []
    assert len(items(stranger, f"modelVersionId={shown.pk}")) == 16
    catalogue.put(Version.objects.all(), "withdrawn")
    assert items(stranger, f"modelVersionId={shown.pk}") == []


def test_a_list_asks_a_fixed_number_of_questions(
    stranger: Client, shown: Version, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for limit in (1, 16):
        with django_assert_num_queries(3):  # pictures, recipes, files
            assert len(items(stranger, f"limit={limit}")) == limit


def test_uploaded_pictures_follow_and_a_chosen_cover_leads(
    stranger: Client, shown: Version
) -> None:
    facts = {"prompt": "a harbour", "seed": 7, "guidance": 6.5, "name": "night.png"}
    sample = pictures.sample_of(shown, facts=facts)
    place = f"/api/v1/model-versions/{shown.pk}"
    told = stranger.get(place).json()["images"]
    assert told[-1] == {
        "url": f"http://testserver/media/samples/{sample.pk}.webp", "nsfwLevel": 1, "width": 96,
        "height": 64, "hash": "", "type": "image", "hasMeta": True,
        "meta": {"prompt": "a harbour", "seed": 7, "cfgScale": 6.5},
    }  # fmt: skip
    assert len(told) == 11
    Cover.objects.create(adapter=shown.adapter, sample=sample)
    assert stranger.get(place).json()["images"] == [told[-1], *told[:-1]]
