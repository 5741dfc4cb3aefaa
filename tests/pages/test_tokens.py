"""A person's access tokens."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from hub.pages.accounts import tokens as one_time_secret
from registry.adapters import services as adapters
from registry.errors import Unauthenticated
from registry.tokens import services as tokens

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db


def test_strangers_sign_in_first(client: Client) -> None:
    assert client.get("/settings/tokens").headers["Location"] == "/signin?next=/settings/tokens"


def make(client: Client, name: str = "laptop") -> None:
    said = {"name": name, "scopes": ["read"], "bound_to": "", "days": "30"}
    answer = client.post("/settings/tokens", said)
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
    cookie = as_ada.cookies[one_time_secret.COOKIE]
    assert (cookie["path"], cookie["max-age"]) == ("/settings/tokens", one_time_secret.MAX_AGE_S)
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
    kept, _name = as_ada.session[one_time_secret.SESSION_KEY]
    halves = [bytes.fromhex(kept), bytes.fromhex(cookie.value)]
    secret = shown(as_ada).encode()
    assert all(secret != half and not half.startswith(b"lor_") for half in halves)
    assert bytes(a ^ b for a, b in zip(*halves, strict=True)) == secret


def test_once_shown_it_is_nowhere(as_ada: Client) -> None:
    make(as_ada)
    assert shown(as_ada)
    assert one_time_secret.SESSION_KEY not in as_ada.session
    assert as_ada.cookies[one_time_secret.COOKIE].value == ""


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
    as_ada.cookies[one_time_secret.COOKIE] = pad
    assert shown(as_ada) == ""
    assert one_time_secret.SESSION_KEY not in as_ada.session


@pytest.mark.parametrize(
    ("odd", "field"),
    [({"name": ""}, "name"), ({"scopes": []}, "scopes"), ({"scopes": ["admin"]}, "scopes"),
     ({"days": "1"}, "days"), ({"days": ""}, "days"), ({"bound_to": "nobody"}, "bound_to")],
)  # fmt: skip
def test_a_token_that_makes_no_sense_is_refused(
    as_ada: Client, odd: dict[str, str], field: str
) -> None:
    said = {"name": "x", "scopes": ["read"], "bound_to": "", "days": "30", **odd}
    answer = as_ada.post("/settings/tokens", said)
    assert answer.status_code == 400
    assert answer.context["form"].errors[field]
    assert "data-secret" not in answer.content.decode()


def test_the_page_says_when_tokens_end_and_what_they_are_for(as_ada: Client, ada: User) -> None:
    adapters.create(actor=ada, name="noir")
    said = {"name": "build", "scopes": ["read"], "bound_to": "ada/noir", "days": "0"}
    as_ada.post("/settings/tokens", said)
    old, _secret = tokens.issue(actor=ada, name="old")
    ada.access_tokens.filter(pk=old.pk).update(expires_at=datetime(2026, 5, 1, tzinfo=UTC))
    page = as_ada.get("/settings/tokens").content.decode()
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", page, re.DOTALL)
    assert [re.sub(r"<[^>]+>", "|", row).count("expired 1 May 2026") for row in rows] == [1, 0]
    assert "no limit" in rows[0]
    assert "Remove" in rows[0]
    assert "ada/noir" in rows[1]
    assert "never" in rows[1].partition("ada/noir")[2]
    assert "Revoke" in rows[1]
    assert '<option value="90" selected>90 days</option>' in page


def test_all_are_revoked_at_once(as_ada: Client, ada: User, bob: User) -> None:
    kept, _secret = tokens.issue(actor=bob, name="bobs")
    tokens.issue(actor=ada, name="one")
    tokens.issue(actor=ada, name="two")
    assert as_ada.get("/settings/tokens/revoke").status_code == 405
    answer = as_ada.post("/settings/tokens/revoke")
    assert answer.headers["Location"] == "/settings/tokens"
    assert "All tokens are revoked." in as_ada.get("/settings/tokens").content.decode()
    assert not ada.access_tokens.filter(revoked_at=None).exists()
    kept.refresh_from_db()
    assert kept.is_live


def test_a_revoked_token_ends(as_ada: Client, ada: User) -> None:
    token, secret = tokens.issue(actor=ada, name="old")
    as_ada.post(f"/settings/tokens/{token.pk}/revoke")
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret=secret)


def test_nobody_revokes_anothers(as_ada: Client, bob: User) -> None:
    token, secret = tokens.issue(actor=bob, name="bobs")
    assert as_ada.post(f"/settings/tokens/{token.pk}/revoke").status_code == 404
    assert tokens.authenticate(secret=secret).pk == token.pk
