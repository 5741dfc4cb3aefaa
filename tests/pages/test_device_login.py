"""The page on which a person allows or denies the sign-in of a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

from hub.pages.accounts import device_login
from registry.models import DeviceLogin
from registry.tokens import device_logins

if TYPE_CHECKING:
    from registry.models import User

pytestmark = pytest.mark.django_db

PAGE = "/signin/device"


@pytest.fixture
def code(db: None) -> str:
    return device_logins.begin(client="lorary", device="<b>lab-3</b>", scopes=["read"]).user


def state() -> str:
    return DeviceLogin.objects.get().state


def test_strangers_sign_in_first_and_come_back(client: Client, code: str) -> None:
    answer = client.get(PAGE, {"user_code": code})
    back = f"{PAGE}%3Fuser_code%3D{code}"
    assert answer.headers["Location"] == f"/signin?next={back}"
    assert client.post(PAGE, {"user_code": code, "decision": "allow"}).status_code == 302
    assert state() == "pending"


def test_the_page_says_who_asks_for_what(as_ada: Client, code: str) -> None:
    answer = as_ada.get(PAGE, {"user_code": code.lower().replace("-", " ")})
    text = answer.content.decode()
    for part in ("<dd>lorary</dd>", "&lt;b&gt;lab-3&lt;/b&gt;", "<b>ada</b>", f">{code}<"):
        assert part in text
    assert "Read: see and download what you have access to" in text
    assert "publish and change adapters" not in text
    assert "expires after 90 days" in text
    assert "no-store" in answer.headers["Cache-Control"]
    assert state() == "pending"


@pytest.mark.parametrize(("decision", "after"), [("allow", "allowed"), ("deny", "denied")])
def test_a_decision_leads_to_the_list_of_tokens(
    as_ada: Client, ada: User, code: str, decision: str, after: str
) -> None:
    answer = as_ada.post(PAGE, {"user_code": code, "decision": decision}, follow=True)
    assert answer.redirect_chain == [("/settings/tokens", 302)]
    assert after in answer.content.decode().lower()
    assert (state(), DeviceLogin.objects.get().user) == (after, ada)
    again = as_ada.post(PAGE, {"user_code": code, "decision": "allow"})
    assert (again.status_code, state()) == (404, after)


def test_without_a_decision_nothing_is_allowed(as_ada: Client, code: str) -> None:
    as_ada.get(PAGE, {"user_code": code, "decision": "allow"})
    assert state() == "pending"
    as_ada.post(PAGE, {"user_code": code})
    assert state() == "denied"


def test_another_site_cannot_allow(ada: User, code: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    values = {"user_code": code, "decision": "allow"}
    assert strict.post(PAGE, values).status_code == 403
    assert state() == "pending"
    strict.get(PAGE, {"user_code": code})
    token = strict.cookies["csrftoken"].value
    assert strict.post(PAGE, {**values, "csrfmiddlewaretoken": token}).status_code == 302
    assert state() == "allowed"


@pytest.mark.parametrize("typed", ["BBBB-BBBB", "x", "é" * 40])
def test_a_wrong_code_is_said_beside_the_field(as_ada: Client, code: str, typed: str) -> None:
    del code
    answer = as_ada.get(PAGE, {"user_code": typed})
    assert answer.status_code == 404
    assert 'aria-invalid="true"' in answer.content.decode()
    assert "mistyped" in answer.content.decode()


def test_an_empty_field_and_a_long_one_are_refused(as_ada: Client) -> None:
    assert as_ada.get(PAGE).status_code == 200
    assert as_ada.get(PAGE, {"user_code": ""}).status_code == 400
    assert as_ada.get(PAGE, {"user_code": "B" * 41}).status_code == 400


def test_tries_are_limited_for_a_user_and_for_an_address(
    as_ada: Client, bob: User, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_logins, "TRIES", 2)
    monkeypatch.setattr(device_login, "TRIES_PER_ADDRESS", 4)
    said = [as_ada.get(PAGE, {"user_code": "BBBB-BBBB"}).status_code for _ in range(3)]
    assert said == [404, 404, 429]
    other = Client()
    other.force_login(bob)
    assert other.get(PAGE, {"user_code": code}).status_code == 200
    assert other.get(PAGE, {"user_code": code}).status_code == 429
    assert state() == "pending"


def test_what_a_user_may_not_have_is_said_on_the_page(as_ada: Client) -> None:
    code = device_logins.begin(client="lorary", scopes=["admin"]).user
    assert "run the hub" in as_ada.get(PAGE, {"user_code": code}).content.decode()
    answer = as_ada.post(PAGE, {"user_code": code, "decision": "allow"})
    assert answer.status_code == 403
    assert "for administrators" in answer.content.decode()
    assert state() == "pending"
