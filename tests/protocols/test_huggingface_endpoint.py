"""Tokens, methods, limits, and what every answer of the Hugging Face protocol carries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hub.http.throttles import AnonymousThrottle, WriteThrottle
from hub.protocols.huggingface.refusals import refusal
from lorary.anatomy import Finding
from registry.errors import UploadRefused
from registry.models import Membership, Namespace, NamespaceKind, Role, User
from registry.tokens import services as tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client, RequestFactory

pytestmark = pytest.mark.django_db


def test_whoami_names_the_user_their_organisations_and_the_token(as_ada: Client, ada: User) -> None:
    guild = Namespace.objects.create(
        name="Guild", key="guild", kind=NamespaceKind.ORGANISATION, display_name="The Guild"
    )
    Membership.objects.create(namespace=guild, user=ada, role=Role.WRITE)
    said = as_ada.get("/api/whoami-v2").json()
    assert (said["name"], said["type"]) == ("ada", "user")
    assert [(org["name"], org["roleInOrg"]) for org in said["orgs"]] == [("Guild", "write")]
    assert said["auth"]["accessToken"]["displayName"] == "test"
    assert said["auth"]["accessToken"]["role"] == "write"
    assert said["auth"]["expiresAt"] > said["auth"]["accessToken"]["createdAt"]
    ada.access_tokens.update(expires_at=None)
    assert "expiresAt" not in as_ada.get("/api/whoami-v2").json()["auth"]


def test_whoami_says_when_a_token_only_reads(
    ada: User, token_of: Callable[..., str], caller: Callable[[str], Client]
) -> None:
    said = caller(token_of(ada, "read")).get("/api/whoami-v2").json()
    assert said["auth"]["accessToken"]["role"] == "read"
    assert said["orgs"] == []


def test_whoami_tells_a_bound_token_no_address_and_no_other_organisation(
    ada: User, caller: Callable[[str], Client]
) -> None:
    User.objects.filter(pk=ada.pk).update(email="ada@example.org")
    for name in ("guild", "studio"):
        one = Namespace.objects.create(name=name, key=name, kind=NamespaceKind.ORGANISATION)
        one.names.create(key=name)
        Membership.objects.create(namespace=one, user=ada, role=Role.WRITE)
    for bound_to, orgs in (("", ["guild", "studio"]), ("guild", ["guild"]), ("ada", [])):
        secret = tokens.issue(actor=ada, name="build", bound_to=bound_to)[1]
        said = caller(secret).get("/api/whoami-v2").json()
        assert [org["name"] for org in said["orgs"]] == orgs
        assert said["email"] == (None if bound_to else "ada@example.org")


def test_whoami_wants_somebody(stranger: Client) -> None:
    answer = stranger.get("/api/whoami-v2")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="lorary"'
    assert "X-Error-Code" not in answer.headers
    assert answer.json()["error"] == answer.headers["X-Error-Message"]


@pytest.mark.parametrize("secret", ["lor_unknown", "", " "])
def test_a_bad_token_is_told_from_a_missing_repo(
    caller: Callable[[str], Client], secret: str, db: None
) -> None:
    answer = caller(secret).get("/api/whoami-v2")
    assert answer.status_code == 401
    assert answer.headers["X-Error-Message"] == "Invalid credentials in Authorization header"


def test_a_token_of_the_other_hub_is_recognised(caller: Callable[[str], Client]) -> None:
    said = caller("hf_abcdef").get("/api/whoami-v2").json()["error"]
    assert "huggingface.co" in said


def test_every_answer_has_an_id(stranger: Client, as_ada: Client) -> None:
    ids = {
        client.get(path).headers["X-Request-Id"]
        for client in (stranger, as_ada)
        for path in ("/api/whoami-v2", "/api/agent-harnesses", "/api/models/x")
    }
    assert len(ids) == 6


def test_strangers_hear_how_many_requests_are_left(
    stranger: Client, as_ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnonymousThrottle, "get_rate", lambda _self: "2/min")
    monkeypatch.setattr(AnonymousThrottle, "timer", lambda _self: 1200.0)
    first, second, third = (stranger.get("/api/agent-harnesses") for _ in range(3))
    assert first.headers["RateLimit"] == '"api";r=1;t=60'
    assert first.headers["RateLimit-Policy"] == '"fixed window";"api";q=2;w=60'
    assert second.headers["RateLimit"] == '"api";r=0;t=60'
    assert third.status_code == 429
    assert third.headers["Retry-After"] == "60"
    assert third.headers["RateLimit"] == '"api";r=0;t=60'
    assert "RateLimit" not in as_ada.get("/api/agent-harnesses").headers


def test_writes_of_a_user_are_counted(
    as_ada: Client, monkeypatch: pytest.MonkeyPatch, own_settings: Callable[..., None]
) -> None:
    own_settings(writes_per_minute=1)
    monkeypatch.setattr(WriteThrottle, "timer", lambda _self: 1200.0)

    def create(name: str) -> Any:
        return as_ada.post("/api/repos/create", {"name": name}, content_type="application/json")

    assert create("one").status_code == 200
    refused = create("two")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert "in this minute" in refused.headers["X-Error-Message"]
    assert as_ada.get("/api/whoami-v2").status_code == 200


PATHS = [
    ("/api/models/gpt2", "RepoNotFound"),
    ("/api/models/gpt2/revision/main", "RepoNotFound"),
    ("/api/models/gpt2/tree/main/unet", "RepoNotFound"),
    ("/gpt2/resolve/main/config.json", "RepoNotFound"),
    ("/api/datasets/ada/noir", "RepoNotFound"),
    ("/api/spaces/ada/noir/tree/main", "RepoNotFound"),
    ("/api/models/ada/noir/discussions", None),
]


def test_what_is_not_here_is_said_so(stranger: Client, subtests: pytest.Subtests) -> None:
    for path, code in PATHS:
        with subtests.test(path=path, code=code):
            answer = stranger.get(path)
            assert answer.status_code == (401 if code else 404)
            assert answer.headers.get("X-Error-Code") == code
            assert answer.json()["error"]


def test_the_finding_that_is_the_reason_is_told_in_the_same_words(rf: RequestFactory) -> None:
    found = [Finding("size", "info", "It is large."), Finding("nan", "error", "NaN.")]
    answer = refusal(rf.get("/"), UploadRefused("“a.bin”: NaN.", findings=found))
    said = json.loads(answer.content)
    assert said["error"] == answer.headers["X-Error-Message"] == '"a.bin": NaN. (nan)'
    assert [one["message"] for one in said["errors"]] == ["It is large. (size)", said["error"]]


def test_other_methods_are_named(stranger: Client) -> None:
    answer = stranger.post("/api/agent-harnesses", b"{}", content_type="application/json")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_head_has_the_length_and_no_body(stranger: Client) -> None:
    whole = stranger.get("/api/agent-harnesses")
    answer = stranger.head("/api/agent-harnesses")
    assert answer.headers["Content-Length"] == str(len(whole.content))
    assert answer.content == b""


def test_a_session_reads(ada: User, stranger: Client) -> None:
    stranger.force_login(ada)
    assert stranger.get("/api/whoami-v2").json()["name"] == "ada"
    assert "auth" not in stranger.get("/api/whoami-v2").json()
