"""Strangers get public files directly: the same answers as from the view, and no other files."""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from hub.http.throttles import StrangerThrottle
from registry.errors import StorageAway
from registry.models import Access, Visibility
from registry.storage.local import LocalStore
from tests.transfers import CASES, body_of

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


def both(stranger: Caller, ask: str, headers: dict[str, str]) -> tuple[Any, Any]:
    """Ask as a stranger, then with a cookie, as browsers do; both have to hear the same."""
    ours = stranger.send(ask, PLACE, headers=headers)
    stranger.cookies["seen"] = "yes"
    theirs = stranger.send(ask, PLACE, headers=headers)
    del stranger.cookies["seen"]
    assert not is_direct(theirs)
    assert ours.status_code == theirs.status_code
    told, wanted = (
        {name: value for name, value in answer.headers.items() if name not in FOR_PAGES}
        for answer in (ours, theirs)
    )
    if "multipart/byteranges" in wanted.get("Content-Type", ""):  # whose boundaries are random
        assert "multipart/byteranges" in told.pop("Content-Type")
        del wanted["Content-Type"]
    else:
        assert body_of(ours) == body_of(theirs)
    assert told == wanted
    return ours, theirs


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize("name", CASES)
def test_the_view_answers_alike(stranger: Caller, lora: bytes, name: str) -> None:
    case = CASES[name]
    etag = f'"{hashlib.sha256(lora).hexdigest()}"'
    headers = case.sent(etag=etag, date="Wed, 25 Nov 2026 00:00:00 GMT", size=len(lora))
    ours, _theirs = both(stranger, case.method.lower(), headers)
    assert is_direct(ours) == (ours.status_code < 400)


@pytest.mark.usefixtures("version")
def test_nginx_is_told_where_the_file_is(
    stranger: Caller, own_settings: Callable[..., None]
) -> None:
    own_settings(accel="/blobs/")
    ours, _theirs = both(stranger, "get", {})
    assert ours.headers["X-Accel-Redirect"].startswith("/blobs/")
    assert ours.headers["Content-Length"] == "0", "or it is sent in chunks, and nginx hangs up"


@pytest.mark.usefixtures("version")
def test_a_bucket_is_told_by_a_link(stranger: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    link = "https://bucket.example/noir"
    monkeypatch.setattr(LocalStore, "link", lambda _self, _name, _way: link)
    ours, _theirs = both(stranger, "get", {})
    assert (ours.status_code, ours.headers["Location"]) == (302, link)
    assert ours.headers["Content-Length"] == "0"


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize(
    ("broken", "fault", "status"),
    [
        ("registry.versions.files.Compiled.first", OperationalError("database is locked"), 503),
        ("registry.storage.local.LocalStore.open", OSError(errno.EIO, "disk"), 500),
        ("hub.http.throttles.StrangerThrottle._count", ConnectionError("the cache is away"), 500),
        ("registry.storage.local.LocalStore.open", StorageAway("The bucket is away."), 503),
    ],
)
def test_what_goes_wrong_is_told_as_a_problem(
    stranger: Caller,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    fault: Exception,
    status: int,
) -> None:
    def fail(*_given: object, **_named: object) -> None:
        raise fault

    stranger.raise_request_exception = False
    monkeypatch.setattr(broken, fail)
    answer = stranger.send("get", PLACE)
    assert (answer.status_code, is_direct(answer)) == (status, False)
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.usefixtures("version")
def test_a_request_counts_once(stranger: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StrangerThrottle, "get_rate", lambda _self: "2/min")
    monkeypatch.setattr(StrangerThrottle, "timer", lambda _self: 1230.0)
    beyond = {"Range": "bytes=999999999-"}
    answers = [stranger.send("get", PLACE, headers=beyond) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [416, 416, 429]


@pytest.mark.usefixtures("version")
def test_a_flood_does_not_reach_the_database(
    stranger: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StrangerThrottle, "get_rate", lambda _self: "1/min")
    monkeypatch.setattr(StrangerThrottle, "timer", lambda _self: 1230.0)
    assert stranger.send("get", PLACE).status_code == 200
    with CaptureQueriesContext(connection) as questions:
        assert stranger.send("get", PLACE).status_code == 429
    assert not questions.captured_queries


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
