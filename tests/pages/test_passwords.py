"""A new password for whoever is signed in."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from registry.accounts import users
from registry.errors import Forbidden, Unauthenticated
from registry.models import Event, User
from registry.tokens import services as tokens
from tests.catalogue import PASSWORD

pytestmark = pytest.mark.django_db

NEW = "another long phrase"


def change(
    client: Client, old: str = PASSWORD, new: str = NEW, again: str = NEW, **more: str
) -> Any:
    said = {"old_password": old, "new_password1": new, "new_password2": again, **more}
    return client.post("/settings/password", said)


def is_signed_in(client: Client) -> bool:
    return client.get("/settings/password").status_code == 200


def test_strangers_sign_in_first(client: Client) -> None:
    assert client.get("/settings/password").headers["Location"] == "/signin?next=/settings/password"
    assert change(client).headers["Location"].startswith("/signin")


def test_the_new_password_signs_in_and_the_old_one_does_not(as_ada: Client, ada: User) -> None:
    answer = change(as_ada)
    assert answer.headers["Location"] == "/settings/password"
    assert "Your password is changed." in as_ada.get("/settings/password").content.decode()
    ada.refresh_from_db()
    assert ada.check_password(NEW)
    assert not ada.check_password(PASSWORD)


def test_this_session_goes_on_and_others_end(as_ada: Client, ada: User) -> None:
    other = Client()
    other.force_login(ada)
    before = as_ada.session.session_key
    change(as_ada)
    assert is_signed_in(as_ada)
    assert as_ada.session.session_key != before
    assert not is_signed_in(other)


def test_access_tokens_still_work_unless_they_are_revoked_too(as_ada: Client, ada: User) -> None:
    _token, secret = tokens.issue(actor=ada, name="laptop")
    change(as_ada)
    assert "Access tokens still work." in as_ada.get("/settings/password").content.decode()
    assert tokens.authenticate(secret=secret).user == ada
    change(as_ada, old=NEW, new=f"{NEW} 2", again=f"{NEW} 2", revokes_tokens="on")
    assert "All access tokens are revoked." in as_ada.get("/settings/password").content.decode()
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret=secret)


def test_it_is_in_the_record(as_ada: Client, ada: User) -> None:
    change(as_ada, old="wrong")
    assert not Event.objects.filter(verb="password_changed").exists()
    change(as_ada)
    event = Event.objects.get(verb="password_changed")
    assert (event.actor, event.user, event.facts) == (ada, ada, {})


@pytest.mark.parametrize(
    ("said", "field", "sentence"),
    [
        ({"old": "wrong"}, "old_password", "This is not your password."),
        ({"old": ""}, "old_password", "This field is required."),
        ({"again": "a third long phrase"}, "new_password2", "The two passwords differ."),
        ({"new": "fX7k", "again": "fX7k"}, "new_password1", "too short"),
        ({"new": "password123", "again": "password123"}, "new_password1", "too common"),
        ({"new": "ada@example.org", "again": "ada@example.org"}, "new_password1", "too similar"),
    ],
)
def test_what_does_not_fit_is_told_beside_its_field(
    as_ada: Client, ada: User, said: dict[str, str], field: str, sentence: str
) -> None:
    answer = change(as_ada, **said)
    page = answer.content.decode()
    assert answer.status_code == 400
    beside = page.partition(f'id="id_{field}_error"')[2].partition("</span>")[0]
    assert sentence in beside
    for secret in filter(None, said.values()):
        assert f'value="{secret}"' not in page
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


def test_guessing_is_slowed_down_and_nobody_else_with_it(
    as_ada: Client, ada: User, bob: User
) -> None:
    for _try in range(10):
        change(as_ada, old="wrong")
    answer = change(as_ada)
    assert answer.status_code == 429
    assert "Too many attempts" in answer.content.decode()
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)
    as_bob = Client()
    as_bob.force_login(bob)
    assert change(as_bob).status_code == 302


def test_whoever_knows_the_old_one_may_look_for_a_new_one_for_long(as_ada: Client) -> None:
    for _try in range(12):
        assert change(as_ada, new="fX7k", again="fX7k").status_code == 400
    assert change(as_ada).status_code == 302


def test_it_is_found_beside_the_access_tokens(as_ada: Client) -> None:
    page = as_ada.get("/settings/tokens").content.decode()
    settings = page.partition('<nav class="tabs"')[2].partition("</nav>")[0]
    assert 'href="/settings/password"' in settings


def test_a_token_changes_no_password(ada: User) -> None:
    _token, secret = tokens.issue(actor=ada, name="laptop")
    with pytest.raises(Forbidden):
        users.change_password(actor=tokens.authenticate(secret=secret).user, password=NEW)
    with pytest.raises(Unauthenticated):
        users.change_password(actor=AnonymousUser(), password=NEW)
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)
