"""``manage.py staff``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from registry.models import Event, Namespace

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command("staff", *words, stdout=out)
    return out.getvalue()


def events() -> list[tuple[str, str, User | None]]:
    found = Event.objects.filter(verb__startswith="staff_").order_by("id")
    return [(event.verb, event.user.username, event.actor) for event in found if event.user]


def test_it_opens_the_operators_page_and_closes_it(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/operator").status_code == 404
    assert run("ADA") == "ada is staff now.\n"
    assert client.get("/operator").status_code == 200
    assert run("ada", "--remove") == "ada is not staff any more.\n"
    assert client.get("/operator").status_code == 404
    assert events() == [("staff_added", "ada", None), ("staff_removed", "ada", None)]


def test_what_is_so_already_is_said_and_not_recorded(ada: User) -> None:
    assert run("ada", "--remove") == "ada is not staff.\n"
    run("ada")
    assert run("ada") == "ada is staff already.\n"
    assert [verb for verb, *_rest in events()] == ["staff_added"]


def test_it_lists_who_is_staff_by_name(ada: User, bob: User) -> None:
    assert run().startswith("There are no administrators. `manage.py staff NAME`")
    bob.last_login = datetime(2026, 5, 4, tzinfo=UTC)
    bob.is_active = False
    bob.save()
    run("bob")
    run("ada")
    assert run() == "ada  never signed in\nbob  signed in 2026-05-04, account closed\n"


def test_programs_hear_the_same(ada: User) -> None:
    one = {"name": "ada", "is_active": True, "last_signed_in": None}
    assert json.loads(run("ada", "--json")) == {"changed": True, "staff": [one]}
    assert json.loads(run("ada", "--json")) == {"changed": False, "staff": [one]}
    assert json.loads(run("--json")) == {"changed": False, "staff": [one]}
    assert json.loads(run("ada", "--remove", "--json")) == {"changed": True, "staff": []}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nobody",), "There is no user 'nobody'. .*--create"),
        (("nobody", "--remove"), "There is no user 'nobody'"),
        (("a b",), "There is no user 'a b'"),
        (("studio",), "There is no user 'studio'"),
        (("--remove",), "Name a user"),
    ],
)
def test_what_it_cannot_do_is_said(ada: User, words: tuple[str, ...], text: str) -> None:
    Namespace.objects.create(name="studio", key="studio", kind="organisation")
    with pytest.raises(CommandError, match=text):
        run(*words)
    assert events() == []
