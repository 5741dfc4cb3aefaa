"""Whatever is sent to these endpoints gets a clear refusal or an answer, never a 500."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from hub.http import throttles
from tests.pages import pictures

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import User, Version

pytestmark = pytest.mark.django_db

#: The long one at the end is what cursors are made of, with a date that is none.
ODD = (
    "", "0", "-1", "1", "1.5", "2147483648", "9" * 30, "٣", "x", "a\0b", "true", "[]", "'", "%",
    "\\", "../..", "\U0001f600", "x" * 401, "a," * 300, ",", "1,x", "W10", "bnVsbA", "\r\n",
    "WyJuZXdlc3QiLG51bGwsMV0", "WyJkb3dubG9hZHMiLC0xLDFd",
)  # fmt: skip
PARAMETERS = {
    "models": (
        "limit", "page", "cursor", "query", "ids", "tag", "username", "types", "baseModels",
        "checkpointType", "sort", "period", "nsfw", "primaryFileOnly", "supportsGeneration",
        "fromPlatform", "earlyAccess", "allowNoCredit", "allowDerivatives",
        "allowDifferentLicenses", "allowCommercialUse", "favorites", "hidden", "token",
    ),
    "images": (
        "limit", "page", "cursor", "postId", "modelId", "modelVersionId", "imageId", "userId",
        "username", "nsfw", "browsingLevel", "period", "sort", "withMeta", "type", "baseModels",
        "tags", "token",
    ),
    "creators": ("limit", "page", "query"),
    "tags": ("limit", "page", "query"),
    "enums": ("limit",),
    "model-versions/mini/1": ("epoch", "modelFileId"),
}  # fmt: skip
FITS = {200, 302, 400, 401, 404, 429}


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch: pytest.MonkeyPatch, own_settings: Callable[..., None]) -> None:
    """Let tests ask more often than people do."""
    own_settings(anonymous_per_minute=0)
    monkeypatch.setattr(throttles.ScopeThrottle, "THROTTLE_RATES", {"search": None})


@pytest.mark.parametrize("place", PARAMETERS)
def test_no_value_of_a_parameter_breaks_anything(
    stranger: Client, first: Version, place: str
) -> None:
    pictures.render(first, "ready", 2)
    for name, value in itertools.product(PARAMETERS[place], ODD):
        answer = stranger.get(f"/api/v1/{place}?{name}={quote(value, safe='')}")
        assert answer.status_code in FITS, (name, value, answer.content)
        assert answer["Content-Type"] == "application/json"
        assert answer.status_code < 400 or answer.json()["error"], (name, value)


def test_no_value_breaks_a_download(stranger: Client, first: Version) -> None:
    names = ("type", "format", "size", "fp", "fileId", "token")
    for name, value in itertools.product(names, ODD):
        answer = stranger.get(f"/api/download/models/{first.pk}?{name}={quote(value, safe='')}")
        assert answer.status_code in FITS, value
        assert answer.status_code == 302 or answer.json()["error"], value


def test_no_address_breaks_anything(stranger: Client, first: Version) -> None:
    places = (
        "v1/models/{}", "v1/model-versions/{}", "v1/model-versions/mini/{}", "download/models/{}",
        "v1/model-versions/by-hash/{}", "download/files/{}/x", "download/files/x/{}",
    )  # fmt: skip
    for place, value in itertools.product(places, ODD):
        text = quote(value.replace("/", "").replace("..", ""), safe="")
        if not text:
            continue
        answer = stranger.get("/api/" + place.format(text))
        assert answer.status_code in {*FITS, 403}, (place, value)
        if answer.status_code != 302:
            assert answer["Content-Type"].endswith("json"), (place, value)


QUERIES = [
    ("models?limit=101", 400), ("models?limit=-1", 400), ("models?limit=x", 400),
    ("models?page=0", 400), ("models?types=Lora2", 400), ("models?baseModels=SD9", 400),
    ("models?sort=Best", 400), ("models?period=Century", 400), ("models?nsfw=maybe", 400),
    ("models?cursor=abc", 400), ("models?ids=1,a", 400), ("models?ids=0", 400),
    ("models/0", 400), ("models/2147483648", 400), ("models/abc", 400), ("models/7777", 404),
    ("model-versions/x", 400), ("model-versions/7777", 404), ("images?limit=201", 400),
    ("images?nsfw=some", 400), ("images?sort=Best", 400), ("images?limit=200&page=6", 429),
    ("images?modelId=0", 400), ("creators?limit=201", 400), ("creators?page=0", 400),
    ("tags?page=x", 400), ("models?limit=2&page=501", 429), ("models?query=a%00b", 400),
]  # fmt: skip


def test_a_value_that_does_not_fit_is_refused(stranger: Client, subtests: pytest.Subtests) -> None:
    for query, status in QUERIES:
        with subtests.test(query=query, status=status):
            answer = stranger.get(f"/api/v1/{query}")
            assert answer.status_code == status
            assert isinstance(answer.json()["error"], str)
            if status == 404:
                assert "not found" in answer.json()["error"]


def test_an_absent_model_is_named(stranger: Client) -> None:
    answer = stranger.get("/api/v1/models/7777")
    assert "No model with id 7777" in answer.json()["error"]


def test_nothing_can_be_written(as_ada: Client, stranger: Client, first: Version) -> None:
    places = [
        *(f"/api/v1/{place}" for place in PARAMETERS),
        f"/api/v1/models/{first.adapter_id}",
        f"/api/v1/model-versions/{first.pk}",
        f"/api/download/models/{first.pk}",
    ]
    for client in (as_ada, stranger):
        for place in places:
            for method in ("post", "put", "patch", "delete"):
                answer = getattr(client, method)(place, "{}", content_type="application/json")
                assert answer.status_code == 405, (method, place)
                assert answer["Allow"] == "GET, HEAD"
                assert answer.json()["error"]


def test_a_token_that_may_not_read_is_refused(
    ada: User, first: Version, token_of: Callable[..., str], caller: Callable[[str], Client]
) -> None:
    writer = caller(token_of(ada, "write"))
    for place in ("v1/models", "v1/images", f"download/models/{first.pk}"):
        answer = writer.get(f"/api/{place}")
        assert answer.status_code == 403
        assert "read" in answer.json()["error"]


def test_strangers_are_held_up_by_the_same_limit_as_elsewhere(
    stranger: Client, monkeypatch: pytest.MonkeyPatch, own_settings: Callable[..., None]
) -> None:
    own_settings(anonymous_per_minute=3)
    monkeypatch.setattr(throttles.AnonymousThrottle, "timer", lambda _self: 1200.0)
    for _ in range(3):
        assert stranger.get("/api/v1/enums").status_code == 200
    answer = stranger.get("/api/v1/models")
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert answer.json()["error"]


def test_heads_have_no_body(stranger: Client, first: Version) -> None:
    for place in ("v1/models", "v1/images", f"v1/models/{first.adapter_id}"):
        answer = stranger.head(f"/api/{place}")
        assert (answer.status_code, answer.content) == (200, b"")
