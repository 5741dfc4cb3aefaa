"""Tokens, scopes, sessions, CSRF, throttles."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from hub.http import throttles
from registry.models import AccessToken
from tests.api.conftest import API, Caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db

#: One write of each kind; ``tests/permissions`` asks every route.
WRITES = [
    ("post", "adapters"),
    ("patch", "adapters/ada/noir"),
    ("put", "uploads/0b1f3c1e-6c2e-4d57-9a8b-6f2f5b1d7a10/content"),
    ("delete", "tokens"),
]
OWN = ["me", "uploads", "uploads/0b1f3c1e-6c2e-4d57-9a8b-6f2f5b1d7a10", "tokens"]


def browser(user: User) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def csrf_of(client: Client) -> str:
    client.cookies["csrftoken"] = secret = "c" * 32
    return secret


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_write_without_credentials_is_not_authenticated(
    stranger: Caller, noir: Adapter, method: str, path: str
) -> None:
    answer = stranger.send(method, path, {})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_token_that_only_reads_cannot_write(
    ada: User, noir: Adapter, token_of: Callable[..., str], method: str, path: str
) -> None:
    answer = Caller(token_of(ada, "read")).send(method, path, {})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert answer.json()["scope"] == "write"
    assert AccessToken.objects.count() == 1


@pytest.mark.parametrize("path", OWN)
def test_what_is_one_s_own_needs_a_name(stranger: Caller, path: str) -> None:
    answer = stranger.send("get", path)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


def test_a_token_that_only_writes_cannot_read(ada: User, token_of: Callable[..., str]) -> None:
    answer = Caller(token_of(ada, "write")).send("get", "me")
    assert (answer.status_code, answer.json()["scope"]) == (403, "read")


@pytest.mark.parametrize("secret", ["lor_nonsense", "hf_other", "x" * 5000, "é", " "])
def test_a_token_that_is_not_valid_opens_nothing_not_even_public_things(secret: str) -> None:
    caller = Client(headers={"Authorization": f"Bearer {secret}"})
    answer = caller.get(f"{API}/adapters")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


def test_another_scheme_of_authorization_is_somebody_else_s(db: None) -> None:
    answer = Client(headers={"Authorization": "Basic YWRhOng="}).get(f"{API}/adapters")
    assert answer.status_code == 200


#: What ``/me`` says to our own readers; the rest is for Civitai's.
NATIVE = {"name", "kind", "display_name", "url", "quota_bytes", "used_bytes", "scopes",
          "bound_to", "expires_at", "namespaces"}  # fmt: skip


def test_me_says_who_and_what_may_be_done(ada: User, as_ada: Caller) -> None:
    told = as_ada.send("get", "me").json()
    ends_in = datetime.fromisoformat(told["expires_at"]) - timezone.now()
    assert timedelta(days=89) < ends_in < timedelta(days=90)
    del told["expires_at"]
    assert {name: told[name] for name in told if name in NATIVE} == {
        "name": "ada",
        "kind": "user",
        "display_name": "ada",
        "url": "http://testserver/ada",
        "quota_bytes": 50_000_000_000,
        "used_bytes": 0,
        "scopes": ["read", "write"],
        "bound_to": None,
        "namespaces": ["ada"],
    }
    assert set(told) - NATIVE == {
        "id", "username", "tier", "status", "isMember", "subscriptions",
    }  # fmt: skip
    session = browser(ada).get(f"{API}/me").json()
    assert (session["scopes"], session["bound_to"], session["expires_at"]) == (None, None, None)


def test_a_session_writes_only_with_the_csrf_header(ada: User) -> None:
    client = browser(ada)
    body = {"name": "noir"}
    answer = client.post(f"{API}/adapters", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    headers = {"X-CSRFToken": csrf_of(client)}
    answer = client.post(f"{API}/adapters", body, content_type="application/json", headers=headers)
    assert answer.status_code == 201


def test_a_form_of_another_site_is_refused_even_with_a_token_field(ada: User) -> None:
    client = browser(ada)
    body = {"csrfmiddlewaretoken": csrf_of(client), "name": "noir"}
    answer = client.post(f"{API}/adapters", body)
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")


def test_a_form_is_no_json(ada: User) -> None:
    client = browser(ada)
    headers = {"X-CSRFToken": csrf_of(client)}
    answer = client.post(f"{API}/adapters", {"name": "noir"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert answer.json()["detail"].endswith("Send application/json.")


def test_a_session_sends_raw_bytes_with_the_csrf_header(ada: User) -> None:
    client = browser(ada)
    headers = {"X-CSRFToken": csrf_of(client)}
    for kind in ("application/octet-stream", "multipart/form-data; boundary=x", ""):
        answer = client.post(
            f"{API}/inspect?size=7&name=a.safetensors", b"1234567", content_type=kind,
            headers=headers,
        )  # fmt: skip
        assert answer.status_code == 200, answer.content
        assert answer.json()["error"]["code"] == "file_truncated"


def test_a_closed_account_s_token_opens_nothing(ada: User, as_ada: Caller) -> None:
    ada.is_active = False
    ada.save()
    assert as_ada.send("get", "me").status_code == 401


def test_tokens_are_issued_listed_and_revoked(as_ada: Caller) -> None:
    made = as_ada.send("post", "tokens", {"name": "trainer", "scopes": ["read"]})
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    token = made.json()
    assert token["token"].startswith("lor_")
    listed = as_ada.send("get", "tokens").json()["results"]
    assert [row["name"] for row in listed] == ["trainer", "test"]
    assert all("token" not in row for row in listed)
    other = Caller(token["token"])
    assert other.send("get", "me").json()["scopes"] == ["read"]
    assert as_ada.send("delete", f"tokens/{token['id']}").status_code == 204
    assert other.send("get", "me").status_code == 401


BODIES = [
    {}, {"name": ""}, {"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]},
    {"name": "x" * 81}, {"name": "x", "admin": True}, {"name": "x", "expires_in_days": -1},
    {"name": "x", "expires_in_days": 3651}, {"name": "x", "expires_in_days": 10**30},
    {"name": "x", "bound_to": "nobody"}, {"name": "x", "bound_to": "a" * 500},
]  # fmt: skip


def test_a_token_that_makes_no_sense_is_refused(as_ada: Caller, subtests: pytest.Subtests) -> None:
    for body in BODIES:
        with subtests.test(body=body):
            answer = as_ada.send("post", "tokens", body)
            assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
            assert answer.json()["fields"]


def test_a_token_issues_none_that_may_do_more(as_ada: Caller) -> None:
    answer = as_ada.send("post", "tokens", {"name": "x", "scopes": ["admin"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_token_says_when_it_ends_and_what_it_is_for(
    as_ada: Caller, noir: Adapter, ada: User
) -> None:
    asked = {"name": "build", "expires_in_days": 7, "bound_to": "ada/noir"}
    made = as_ada.send("post", "tokens", asked).json()
    assert (made["bound_to"], made["parent_id"]) == ("ada/noir", ada.access_tokens.last().pk)  # type: ignore[union-attr]
    assert datetime.fromisoformat(made["expires_at"]) - timezone.now() < timedelta(days=7)
    build = Caller(made["token"])
    told = build.send("get", "me").json()
    assert (told["bound_to"], told["expires_at"]) == ("ada/noir", made["expires_at"])
    assert told["namespaces"] == []  # it cannot create adapters
    assert build.send("patch", "adapters/ada/noir", {"summary": "dark"}).status_code == 200
    refused = build.send("post", "adapters", {"name": "other"})
    assert (refused.status_code, refused.json()["bound_to"]) == (403, "ada/noir")
    forever = as_ada.send("post", "tokens", {"name": "x", "expires_in_days": 0}).json()
    assert forever["expires_at"] == told_of_first(as_ada)["expires_at"]


def told_of_first(caller: Caller) -> dict[str, Any]:
    """Return the caller's oldest token as it is listed."""
    listed: list[dict[str, Any]] = caller.send("get", "tokens").json()["results"]
    return listed[-1]


def test_an_expired_token_says_so_at_every_door(as_ada: Caller, ada: User) -> None:
    ada.access_tokens.update(expires_at=timezone.now())
    answer = as_ada.send("get", "me")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["expired_at"]
    for place in ("/api/whoami-v2", "/api/v1/model-versions/1"):
        answer = as_ada.get(place)
        assert answer.status_code == 401
        assert "expired on" in answer.json()["error"]


def test_all_tokens_are_revoked_at_once(as_ada: Caller, as_bob: Caller) -> None:
    as_ada.send("post", "tokens", {"name": "x"})
    answer = as_ada.send("delete", "tokens")
    assert (answer.status_code, answer.json()) == (200, {"revoked": 2})
    assert as_ada.send("get", "me").status_code == 401
    assert as_bob.send("get", "me").status_code == 200


def test_a_flood_is_told_to_wait(stranger: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttles.ScopeThrottle, "get_rate", lambda _self: "2/min")
    monkeypatch.setattr(throttles.ScopeThrottle, "timer", lambda _self: 1200.0)
    codes = [stranger.send("get", "adapters").status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    answer = stranger.send("get", "adapters", headers={"X-Forwarded-For": "203.0.113.9"})
    assert answer.json()["code"] == "rate_limited"
    assert int(answer.headers["Retry-After"]) == answer.json()["retry_after"]


def test_writes_of_a_user_are_counted_and_questions_are_not(
    as_ada: Caller,
    as_bob: Caller,
    monkeypatch: pytest.MonkeyPatch,
    own_settings: Callable[..., None],
) -> None:
    own_settings(writes_per_minute=2)
    monkeypatch.setattr(throttles.WriteThrottle, "timer", lambda _self: 1200.0)
    for number in range(2):
        assert as_ada.send("post", "adapters", {"name": f"noir{number}"}).status_code == 201
        assert as_ada.send("post", "hashes", {"hashes": []}).status_code != 429
    refused = as_ada.send("post", "adapters", {"name": "more"})
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["Retry-After"] == "60"
    assert as_ada.send("get", "me").status_code == 200
    assert as_bob.send("post", "adapters", {"name": "noir"}).status_code == 201
    own_settings(writes_per_minute=0)
    assert as_ada.send("post", "adapters", {"name": "more"}).status_code == 201


def test_behind_a_trusted_proxy_callers_are_told_apart(
    stranger: Caller, monkeypatch: pytest.MonkeyPatch, own_settings: Callable[..., None]
) -> None:
    own_settings(trust_proxy=True)
    cache.clear()
    monkeypatch.setattr(throttles.ScopeThrottle, "get_rate", lambda _self: "1/min")
    monkeypatch.setattr(throttles.ScopeThrottle, "timer", lambda _self: 1200.0)
    for address in ("192.0.2.1", "192.0.2.2", "203.0.113.9, 192.0.2.3"):
        answer = stranger.send("get", "adapters", headers={"X-Forwarded-For": address})
        assert answer.status_code == 200
    again = stranger.send("get", "adapters", headers={"X-Forwarded-For": "192.0.2.3"})
    assert again.status_code == 429
