"""``/creators``, ``/tags``, ``/enums`` and ``/me`` as Civitai's clients read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registry.adapters import services as adapters
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf(ada: User, bob: User, noir: Adapter) -> list[Adapter]:
    """Three adapters of two people, and one that nobody may see."""
    told = [(ada, "day", ["film", "light"], "public"), (bob, "rain", ["wet"], "public"),
            (bob, "mine", ["secret"], "private")]  # fmt: skip
    made = [noir]
    for owner, name, tags, visibility in told:
        one = adapters.create(actor=owner, name=name, tags=tags, visibility=visibility)
        catalogue.release(one, kohya(DENOISERS["sd1", "diffusers"], metadata={"n": name}))
        made.append(one)
    return made


def get(client: Client, place: str) -> Any:
    answer = client.get(f"/api/v1/{place}")
    assert answer.status_code == 200
    return answer.json()


def test_creators_are_those_who_offer_something(
    stranger: Client, as_bob: Client, shelf: list[Adapter]
) -> None:
    told = get(stranger, "creators")
    link = "http://testserver/api/v1/models?username="
    assert told["items"] == [
        {"username": "ada", "modelCount": 2, "link": f"{link}ada", "image": None},
        {"username": "bob", "modelCount": 1, "link": f"{link}bob", "image": None},
    ]
    assert told["metadata"] == {
        "totalItems": 2, "currentPage": 1, "pageSize": 20, "totalPages": 1,
    }  # fmt: skip
    assert get(as_bob, "creators")["items"][1]["modelCount"] == 2
    assert [one["username"] for one in get(stranger, "creators?query=BO")["items"]] == ["bob"]


def test_tags_come_with_the_most_frequent_first(
    stranger: Client, as_bob: Client, shelf: list[Adapter]
) -> None:
    told = get(stranger, "tags")["items"]
    assert [(one["name"], one["modelCount"]) for one in told] == [
        ("film", 2), ("light", 1), ("wet", 1),
    ]  # fmt: skip
    assert told[0]["link"] == "http://testserver/api/v1/models?tag=film"
    assert "secret" in {one["name"] for one in get(as_bob, "tags?limit=0")["items"]}
    assert [one["name"] for one in get(stranger, "tags?query=IGH")["items"]] == ["light"]


def test_counted_lists_link_to_their_neighbours(stranger: Client, shelf: list[Adapter]) -> None:
    told = get(stranger, "tags?limit=1&page=2&query=")
    metadata = told["metadata"]
    assert (metadata["totalItems"], metadata["totalPages"]) == (3, 3)
    assert [one["name"] for one in told["items"]] == ["light"]
    following = stranger.get(metadata["nextPage"]).json()
    assert [one["name"] for one in following["items"]] == ["wet"]
    assert "nextPage" not in following["metadata"]
    before = stranger.get(metadata["prevPage"]).json()
    assert [one["name"] for one in before["items"]] == ["film"]
    assert get(stranger, "tags?limit=1&page=1000000")["items"] == []


def test_enums_name_what_filters_take(stranger: Client) -> None:
    told = get(stranger, "enums")
    assert set(told) == {
        "ModelType", "ModelFileType", "ActiveBaseModel", "BaseModel", "BaseModelType",
    }  # fmt: skip
    assert {"LORA", "LoCon", "DoRA"} <= set(told["ModelType"])
    assert {"Pony", "SDXL 1.0", "Flux.1 D"} <= set(told["BaseModel"])
    for parameter, kind in {"baseModels": "BaseModel", "types": "ModelType"}.items():
        asked = {parameter: told[kind]}
        assert stranger.get("/api/v1/models", asked).status_code == 200


def test_me_is_read_by_both_dialects(
    stranger: Client, as_ada: Client, ada: User, token_of: Any
) -> None:
    told = get(as_ada, "me")
    assert (told["name"], told["kind"], told["scopes"]) == ("ada", "user", ["read", "write"])
    assert (told["id"], told["username"]) == (ada.pk, "ada")
    assert (told["tier"], told["status"], told["isMember"]) == ("free", "active", False)
    assert told["subscriptions"] == []
    secret = token_of(ada, "read")
    assert get(stranger, f"me?token={secret}")["username"] == "ada"
    for place in ("me", "me?token=lor_wrong"):
        assert stranger.get(f"/api/v1/{place}").status_code == 401
    assert stranger.get(f"/api/v1/adapters?token={secret}").status_code == 400
