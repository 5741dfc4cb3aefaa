"""Signing up, in and out."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.signals import user_login_failed
from django.core.cache import cache

from registry.models import Attempt, User
from tests.catalogue import PASSWORD

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Adapter

pytestmark = pytest.mark.django_db


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_signing_in_goes_back_to_where_one_was(client: Client, ada: User) -> None:
    said = {"username": "ada", "password": PASSWORD, "next": "/publish"}
    answer = client.post("/signin", said)
    assert answer.headers["Location"] == "/publish"
    assert is_signed_in(client)


def test_a_name_matches_without_regard_to_case(client: Client, ada: User) -> None:
    client.post("/signin", {"username": "ADA", "password": PASSWORD})
    assert is_signed_in(client)


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"],
)
def test_signing_in_never_leads_to_another_site(client: Client, ada: User, elsewhere: str) -> None:
    said = {"username": "ada", "password": PASSWORD, "next": elsewhere}
    assert client.post("/signin", said).headers["Location"] == "/"


def test_a_wrong_password_says_so_and_not_which_half_was_wrong(client: Client, ada: User) -> None:
    wrong = client.post("/signin", {"username": "ada", "password": "x"})
    unknown = client.post("/signin", {"username": "nobody", "password": "x"})
    for answer in (wrong, unknown):
        assert answer.status_code == 400
        assert "This name and password do not match." in answer.content.decode()
    assert not is_signed_in(client)


def test_guessing_is_slowed_down(client: Client, ada: User) -> None:
    for _try in range(10):
        client.post("/signin", {"username": "ada", "password": "x"})
    answer = client.post("/signin", {"username": "ada", "password": PASSWORD})
    assert answer.status_code == 429
    assert "Too many attempts" in answer.content.decode()
    assert not is_signed_in(client)


def test_a_name_in_other_letters_is_the_same_name(client: Client, ada: User) -> None:
    spellings = ["ada", " ada", "ada\u3000", "ADA", "ａｄａ", "Ａda", "\tada  ", "ada" + " " * 200]
    for spelling in [*spellings, "ada", "ada"]:
        answer = client.post("/signin", {"username": spelling, "password": "x"})
        assert answer.status_code == 400
    for spelling in spellings:
        answer = client.post("/signin", {"username": spelling, "password": PASSWORD})
        assert answer.status_code == 429, spelling
    assert not is_signed_in(client)


def test_every_process_counts_the_same_tries(client: Client, ada: User) -> None:
    for _try in range(10):
        client.post("/signin", {"username": "ada", "password": "x"})
        cache.clear()  # that of another process is empty
    answer = client.post("/signin", {"username": "ada", "password": PASSWORD})
    assert answer.status_code == 429
    # A digest can contain the letters, but not as a word.
    assert not any(re.search(r"\bada\b|127\.0", str(row)) for row in Attempt.objects.values())


def test_tries_over_the_limit_are_not_looked_at(client: Client, ada: User) -> None:
    failed: list[str] = []

    def hear(credentials: dict[str, str], **_more: object) -> None:
        failed.append(credentials["username"])

    user_login_failed.connect(hear)
    for _try in range(13):
        client.post("/signin", {"username": "ada", "password": "x"})
    user_login_failed.disconnect(hear)
    assert failed == ["ada"] * 10


def test_signing_in_forgets_the_tries(client: Client, ada: User) -> None:
    for _round in range(3):
        for _try in range(5):
            client.post("/signin", {"username": "ada", "password": "x"})
        client.post("/signin", {"username": "ada", "password": PASSWORD})
        assert is_signed_in(client)
        client.post("/signout")


def test_whoever_is_signed_in_need_not_sign_in(as_ada: Client) -> None:
    assert as_ada.get("/signin?next=/publish").headers["Location"] == "/publish"


def test_signing_out_needs_a_form(as_ada: Client) -> None:
    assert as_ada.get("/signout").status_code == 405
    assert as_ada.post("/signout").headers["Location"] == "/"
    assert not is_signed_in(as_ada)


@pytest.mark.parametrize("email", ["grace@example.org", "grace"])
def test_every_fault_of_a_new_account_is_said_at_once(
    client: Client, ada: User, email: str
) -> None:
    page = client.post("/signup", {"name": "ADA", "email": email, "password": "12345678"})
    told = page.content.decode()
    assert page.status_code == 400
    assert "is taken" in told
    assert "too common" in told
    assert ("valid email" in told) == ("@" not in email)


def test_signing_up_makes_a_person_with_a_page(client: Client, db: None) -> None:
    said = {"name": "grace", "email": "grace@example.org", "password": PASSWORD}
    assert client.post("/signup", said).status_code == 302
    assert is_signed_in(client)
    assert User.objects.get(username="grace").namespace.name == "grace"
    assert client.get("/grace").status_code == 200


MISFITS = [
    ({"name": "ada"}, "name", "is taken"),
    ({"name": "ADA"}, "name", "is taken"),
    ({"name": "browse"}, "name", "is reserved on this hub"),
    ({"name": "a--b"}, "name", "must not contain “--”"),
    ({"password": "short"}, "password", "too short"),
    ({"password": "password123"}, "password", "too common"),
    ({"email": "no address"}, "email", "valid email"),
]


def test_what_does_not_fit_is_told_beside_its_field(
    client: Client, ada: User, subtests: pytest.Subtests
) -> None:
    for changed, field, sentence in MISFITS:
        with subtests.test(changed=changed, field=field, sentence=sentence):
            said = {"name": "grace", "email": "grace@example.org", "password": PASSWORD} | changed
            answer = client.post("/signup", said)
            page = answer.content.decode()
            assert answer.status_code == 400
            assert sentence in page
            assert f'id="id_{field}_error"' in page
            assert not is_signed_in(client)


def test_all_that_is_wrong_with_a_field_describes_it(client: Client, db: None) -> None:
    said = {"name": "grace", "email": "grace@example.org", "password": "abc"}
    page = client.post("/signup", said).content.decode()
    assert page.count('id="id_password_error"') == 1
    beside = page.partition('id="id_password_error"')[2].partition("</span>")[0]
    assert ("too short" in beside, "too common" in beside) == (True, True)


def test_a_closed_door_says_so(client: Client, db: None, settings: Any) -> None:
    settings.LORARY = dataclasses.replace(settings.LORARY, signup=False)
    page = client.get("/signup").content.decode()
    assert "does not allow sign-up" in page
    assert "<input" not in page.split("<main")[1].split("</main")[0].replace("q4", "")
    said = {"name": "grace", "email": "grace@example.org", "password": PASSWORD}
    client.post("/signup", said)
    assert not User.objects.filter(username="grace").exists()
    assert "Ask an administrator" in client.get("/signin").content.decode()


def test_the_door_shows_public_pictures_only(client: Client, noir: Adapter) -> None:
    type(noir).objects.update(visibility="private")
    assert "Noir" not in client.get("/signin").content.decode()
