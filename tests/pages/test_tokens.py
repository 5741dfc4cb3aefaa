"""A person's access tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from registry.errors import Unauthenticated
from registry.services import tokens

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db


def test_strangers_sign_in_first(client: Client) -> None:
    assert client.get("/settings/tokens").headers["Location"] == "/signin?next=/settings/tokens"


def test_a_secret_is_shown_once_and_works(as_ada: Client, ada: User) -> None:
    page = as_ada.post("/settings/tokens", {"name": "laptop", "scopes": ["read"]}).content.decode()
    found = re.search(r"<code data-secret>(lor_[\w-]+)</code>", page)
    assert found is not None
    token = tokens.authenticate(secret=found[1])
    assert (token.user, token.scopes, token.name) == (ada, ["read"], "laptop")
    assert found[1] not in as_ada.get("/settings/tokens").content.decode()


def test_the_page_is_kept_by_nobody(as_ada: Client) -> None:
    answer = as_ada.post("/settings/tokens", {"name": "laptop", "scopes": ["read"]})
    assert "no-store" in answer.headers["Cache-Control"]


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
