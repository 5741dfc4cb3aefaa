"""A person's access tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from hub.pages import sealed
from registry.errors import Unauthenticated
from registry.services import tokens

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db


def test_strangers_sign_in_first(client: Client) -> None:
    assert client.get("/settings/tokens").headers["Location"] == "/signin?next=/settings/tokens"


def make(client: Client, name: str = "laptop") -> None:
    answer = client.post("/settings/tokens", {"name": name, "scopes": ["read"]})
    assert answer.headers["Location"] == "/settings/tokens"
    assert "no-store" in answer.headers["Cache-Control"]
    assert b"lor_" not in answer.content


def shown(client: Client) -> str:
    """Open the page and return the secret on it, "" for none."""
    answer = client.get("/settings/tokens")
    assert "no-store" in answer.headers["Cache-Control"]
    found = re.search(r"<code data-secret>(lor_[\w-]+)</code>", answer.content.decode())
    return found[1] if found else ""


def test_a_secret_is_shown_once_and_works(as_ada: Client, ada: User) -> None:
    make(as_ada)
    secret = shown(as_ada)
    token = tokens.authenticate(secret=secret)
    assert (token.user, token.scopes, token.name) == (ada, ["read"], "laptop")
    assert shown(as_ada) == ""
    assert secret not in as_ada.get("/settings/tokens").content.decode()
    assert ada.access_tokens.count() == 1


def test_neither_the_session_nor_the_cookie_holds_the_secret(as_ada: Client) -> None:
    make(as_ada)
    cookie = as_ada.cookies[sealed.COOKIE]
    assert (cookie["path"], cookie["max-age"]) == ("/settings/tokens", sealed.MAX_AGE_S)
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
    kept, _name = as_ada.session[sealed.KEPT_AS]
    halves = [bytes.fromhex(kept), bytes.fromhex(cookie.value)]
    secret = shown(as_ada).encode()
    assert all(secret != half and not half.startswith(b"lor_") for half in halves)
    assert bytes(a ^ b for a, b in zip(*halves, strict=True)) == secret


def test_once_shown_it_is_nowhere(as_ada: Client) -> None:
    make(as_ada)
    assert shown(as_ada)
    assert sealed.KEPT_AS not in as_ada.session
    assert as_ada.cookies[sealed.COOKIE].value == ""


def test_a_look_at_the_headers_leaves_it_for_the_page(as_ada: Client) -> None:
    make(as_ada)
    as_ada.head("/settings/tokens")
    assert shown(as_ada).startswith("lor_")


def test_of_two_forms_sent_at_once_the_last_is_shown(as_ada: Client) -> None:
    make(as_ada, "first")
    make(as_ada, "second")
    assert tokens.authenticate(secret=shown(as_ada)).name == "second"


@pytest.mark.parametrize("pad", ["", "zz", "00", "ff" * 47])
def test_a_cookie_that_is_late_or_made_up_shows_nothing(as_ada: Client, pad: str) -> None:
    make(as_ada)
    as_ada.cookies[sealed.COOKIE] = pad
    assert shown(as_ada) == ""
    assert sealed.KEPT_AS not in as_ada.session


@pytest.mark.parametrize(
    "said", [{"name": "x"}, {"scopes": ["read"]}, {"name": "x", "scopes": ["admin"]}]
)
def test_a_token_without_name_or_scope_is_refused(as_ada: Client, said: dict[str, str]) -> None:
    answer = as_ada.post("/settings/tokens", said)
    assert answer.status_code == 400
    assert "data-secret" not in answer.content.decode()


def test_a_revoked_token_ends(as_ada: Client, ada: User) -> None:
    token, secret = tokens.issue(actor=ada, name="old")
    as_ada.post(f"/settings/tokens/{token.pk}/revoke")
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret=secret)


def test_nobody_revokes_anothers(as_ada: Client, bob: User) -> None:
    token, secret = tokens.issue(actor=bob, name="bobs")
    assert as_ada.post(f"/settings/tokens/{token.pk}/revoke").status_code == 404
    assert tokens.authenticate(secret=secret).pk == token.pk
