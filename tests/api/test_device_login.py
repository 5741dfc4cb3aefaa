"""The two addresses of OAuth, in the words of RFC 8628 and RFC 6749."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone

from hub.api.accounts import device_login
from registry.models import AccessToken, DeviceLogin, Event
from registry.tokens import device_logins
from registry.tokens import services as tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import User

pytestmark = pytest.mark.django_db


def send(path: str, values: dict[str, str], secret: str = "") -> Any:
    """Send a form, as programs do: without cookies and a CSRF token."""
    kind = "application/x-www-form-urlencoded"
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    client = Client(enforce_csrf_checks=True, headers=headers)
    body = urlencode(values, errors="surrogatepass")
    return client.post(path, body, content_type=kind)


def begin(**values: str) -> Any:
    return send("/oauth/device", {"client_id": "lorary", **values})


def ask(code: str, **values: str) -> Any:
    DeviceLogin.objects.update(polled_at=timezone.now() - timedelta(seconds=5))
    return send("/oauth/token", {"grant_type": device_login.GRANT, "device_code": code, **values})


def test_codes_and_the_token_are_answered_as_the_standard_says(ada: User) -> None:
    answer = begin(device_name="ada-laptop", scope="read")
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    codes = answer.json()
    page = "http://testserver/signin/device"
    assert codes.pop("verification_uri") == page
    assert codes.pop("verification_uri_complete") == f"{page}?user_code={codes['user_code']}"
    assert (codes.pop("expires_in"), codes.pop("interval")) == (900, 5)
    assert set(codes) == {"device_code", "user_code"}
    pending = ask(codes["device_code"])
    assert (pending.status_code, pending["Content-Type"]) == (400, "application/json")
    assert pending["Cache-Control"] == "no-store"
    assert pending.json()["error"] == "authorization_pending"
    device_logins.decide(actor=ada, user_code=codes["user_code"], is_allowed=True)
    answer = ask(codes["device_code"])
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    token = answer.json()
    assert (token["token_type"], token["scope"]) == ("Bearer", "read")
    assert 0 <= 90 * 86_400 - token["expires_in"] < 60
    caller = Client(headers={"Authorization": f"Bearer {token['access_token']}"})
    assert caller.get("/api/v1/me").json()["name"] == "ada"
    assert caller.post("/api/v1/tokens", {}, content_type="application/json").status_code == 403
    (listed,) = caller.get("/api/v1/tokens").json()["results"]
    assert (listed["name"], listed["parent_id"]) == ("lorary login on ada-laptop", None)


def test_a_token_that_never_expires_has_no_term(
    ada: User, own_settings: Callable[..., None]
) -> None:
    own_settings(token_days=0, base_url="https://hub.example")
    codes = begin().json()
    assert codes["verification_uri"] == "https://hub.example/signin/device"
    device_logins.decide(actor=ada, user_code=codes["user_code"], is_allowed=True)
    answer = ask(codes["device_code"]).json()
    assert (answer["scope"], "expires_in" in answer) == ("read write", False)


def test_other_fields_of_oauth_are_ignored_and_hf_gets_its_name() -> None:
    hf = next(iter(device_login._NAMES))
    send("/oauth/device", {"client_id": hf, "audience": "x", "resource": "y"})
    assert DeviceLogin.objects.get().label == "hf login"


@pytest.mark.parametrize(
    ("path", "values", "error"),
    [
        ("/oauth/device", {}, "invalid_request"),
        ("/oauth/device", {"client_id": "x" * 41}, "invalid_request"),
        ("/oauth/device", {"client_id": "a", "device_name": "\0"}, "invalid_request"),
        ("/oauth/device", {"client_id": "a", "scope": "read everything"}, "invalid_scope"),
        ("/oauth/token", {}, "invalid_request"),
        ("/oauth/revoke", {}, "invalid_request"),
        ("/oauth/token", {"grant_type": "password"}, "unsupported_grant_type"),
        ("/oauth/token", {"grant_type": device_login.GRANT}, "invalid_grant"),
        (
            "/oauth/token",
            {"grant_type": device_login.GRANT, "device_code": "x\udc80é"},
            "invalid_grant",
        ),
    ],
)
def test_refusals_have_the_form_of_oauth(path: str, values: dict[str, str], error: str) -> None:
    body = urlencode(values, errors="surrogatepass")
    answer = Client().post(path, body, content_type="application/x-www-form-urlencoded")
    document = answer.json()
    assert (answer.status_code, document["error"]) == (400, error)
    assert document["error_description"]


def test_one_address_may_begin_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_login, "BEGINNINGS", 2)
    assert [begin().status_code for _ in range(3)] == [200, 200, 429]
    assert DeviceLogin.objects.count() == 2


def test_a_dead_token_does_not_keep_a_program_from_signing_in() -> None:
    answer = send("/oauth/device", {"client_id": "lorary"}, "lor_dead")
    assert answer.status_code == 200


@pytest.mark.parametrize("scopes", [["read"], ["read", "write"]])
def test_whoever_has_a_token_can_revoke_it(ada: User, scopes: list[str]) -> None:
    token, secret = tokens.issue(actor=ada, name="laptop", scopes=scopes)
    other, _secret = tokens.issue(actor=ada, name="other")
    made = AccessToken.objects.create(user=ada, name="made", digest="d", parent=token)
    for _turn in range(2):
        answer = send("/oauth/revoke", {"token": secret, "token_type_hint": "access_token"})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer["Cache-Control"] == "no-store"
    assert send("/oauth/revoke", {"token": "lor_unknown\udc80"}).status_code == 200
    assert list(AccessToken.objects.filter(revoked_at=None)) == [other]
    assert AccessToken.objects.get(pk=made.pk).is_revoked
    verbs = Event.objects.filter(actor=ada, verb="token_revoked").values_list("subject", flat=True)
    assert list(verbs) == ["laptop"]
