"""Strangers get public files directly: the same answers as from the view, and no other files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from hub.throttles import StrangerThrottle
from registry.models import Access, Visibility
from tests.transfers import CASES

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

#: What only readers of pages need, and the view's answers have.
FOR_PAGES = {"Allow", "Content-Language", "Vary", "X-Frame-Options"}
PLACE = "adapters/ada/noir/versions/v1/files/noir.safetensors"


@pytest.fixture
def version(noir: Adapter, released: Callable[..., Version], lora: bytes) -> Version:
    return released(noir, lora)


def is_direct(answer: Any) -> bool:
    """Whether an answer came before the language was chosen."""
    return "Content-Language" not in answer.headers


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize("name", CASES)
def test_the_view_answers_alike(stranger: Caller, lora: bytes, name: str) -> None:
    case = CASES[name]
    etag = f'"{hashlib.sha256(lora).hexdigest()}"'
    headers = case.sent(etag=etag, date="Wed, 25 Nov 2026 00:00:00 GMT", size=len(lora))
    ask = case.method.lower()
    ours = stranger.send(ask, PLACE, headers=headers)
    stranger.cookies["seen"] = "yes"
    theirs = stranger.send(ask, PLACE, headers=headers)
    assert not is_direct(theirs)
    assert is_direct(ours) == (ours.status_code < 400)
    assert ours.status_code == theirs.status_code
    several = "multipart/byteranges" in ours.headers.get("Content-Type", "")  # random boundaries
    assert several or body(ours) == body(theirs)
    told = {name: value for name, value in theirs.headers.items() if name not in FOR_PAGES}
    differ = set(told.items()) ^ {
        (name, value) for name, value in ours.headers.items() if name not in FOR_PAGES
    }
    assert {name for name, _value in differ} <= ({"Content-Type"} if several else set())


@pytest.mark.usefixtures("version")
def test_who_has_a_token_is_looked_at(as_bob: Caller) -> None:
    answer = as_bob.send("get", PLACE)
    assert (answer.status_code, is_direct(answer)) == (200, False)


@pytest.mark.parametrize(
    ("changed", "status"),
    [({"visibility": Visibility.PRIVATE}, 404), ({"access": Access.GATED_MANUAL}, 403)],
)
def test_a_file_that_is_not_everybodys_is_the_views(
    stranger: Caller, version: Version, changed: dict[str, str], status: int
) -> None:
    for name, value in changed.items():
        setattr(version.adapter, name, value)
    version.adapter.save()
    answer = stranger.send("get", PLACE)
    assert (answer.status_code, is_direct(answer)) == (status, False)


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize(
    "place",
    [
        "adapters/ada/noir/versions/v2/files/noir.safetensors",
        "adapters/ada/noir/versions/v1/files/other.safetensors",
        "adapters/ada/noir/versions/v1/files/no%00ir.safetensors",
    ],
)
def test_what_is_not_there_is_told_as_a_problem(stranger: Caller, place: str) -> None:
    answer = stranger.send("get", place)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.usefixtures("version")
def test_another_host_is_refused(stranger: Caller) -> None:
    assert stranger.send("get", PLACE, headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.usefixtures("version")
def test_a_flood_of_strangers_is_refused(stranger: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StrangerThrottle, "get_rate", lambda _self: "2/min")
    monkeypatch.setattr(StrangerThrottle, "timer", lambda _self: 1230.0)
    answers = [stranger.send("get", PLACE) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["code"] == "rate_limited"
    assert answers[-1].headers["Retry-After"] == "30"
    monkeypatch.setattr(StrangerThrottle, "timer", lambda _self: 1260.0)
    assert stranger.send("get", PLACE).status_code == 200


@pytest.mark.usefixtures("version")
def test_other_methods_are_the_views(stranger: Caller) -> None:
    assert stranger.send("post", PLACE).status_code in {401, 405}
