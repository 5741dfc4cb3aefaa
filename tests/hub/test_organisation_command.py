"""``manage.py organisation``."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from registry.accounts import organisations
from registry.accounts.disabling import disable
from registry.adapters import services as adapters

if TYPE_CHECKING:
    from registry.models import User

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command("organisation", *words, stdout=out)
    return out.getvalue().removesuffix("\n")


def test_an_organisation_is_created_and_gets_members(ada: User, bob: User) -> None:
    assert run("list") == "There are no organisations."
    assert run("create", "studio", "--admin", "ada") == "studio was created; ada is its admin."
    added = "bob is now a member of studio, with the role read."
    assert run("add", "STUDIO", "Bob", "--role", "read") == added
    assert run("add", "studio", "bob", "--role", "read") == added.replace("now", "already")
    assert run("show", "studio") == "studio\nada: admin\nbob: read"
    assert run("list") == "studio: 2 members"
    assert run("remove", "studio", "bob") == "bob is no longer a member of studio."
    assert run("remove", "studio", "bob") == "bob is not a member of studio."


def test_results_as_json(ada: User, bob: User) -> None:
    created = json.loads(run("create", "studio", "--admin", "ada", "--json"))
    assert created == {
        "name": "studio",
        "used_bytes": 0,
        "quota_bytes": settings.LORARY.quota_bytes,
        "members": [{"name": "ada", "role": "admin", "is_active": True}],
    }
    assert json.loads(run("add", "studio", "bob", "--json"))["changed"] is True
    assert json.loads(run("remove", "studio", "bob", "--json")) == {"changed": True, **created}
    assert json.loads(run("list", "--json")) == {
        "organisations": [{"name": "studio", "members": 1, "active_admins": 1}]
    }


def test_an_organisation_without_an_active_admin_is_named(ada: User, bob: User) -> None:
    run("create", "studio", "--admin", "ada")
    run("add", "studio", "bob")
    disable(actor=None, user=ada, reason="left")
    assert run("list") == "studio: 2 members, no active admin"
    assert run("show", "studio") == "studio\nada: admin (disabled)\nbob: write"
    run("add", "studio", "bob", "--role", "admin")
    assert run("list") == "studio: 2 members"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("show", "nobody"), "There is no organisation “nobody”."),
        (("show", "ada"), "There is no organisation “ada”."),
        (("create", "house", "--admin", "eve"), "There is no user “eve”."),
        (("create", "studio", "--admin", "ada"), "“studio” is taken."),
        (("add", "studio", "eve"), "There is no user “eve”."),
        (("remove", "studio", "ada"), "“studio” needs an admin."),
    ],
)
def test_refusals(ada: User, words: tuple[str, ...], reason: str) -> None:
    run("create", "studio", "--admin", "ada")
    with pytest.raises(CommandError, match=reason):
        run(*words)


def test_adapters_move_to_another_owner(ada: User, bob: User) -> None:
    run("create", "studio", "--admin", "ada")
    adapters.create(actor=ada, owner=organisations.named("studio"), name="noir")
    moved = "Adapters and packs of studio moved to bob: 1."
    assert run("transfer", "studio", "--to", "bob") == moved
    assert bob.namespace.adapters.get().name == "noir"
    with pytest.raises(CommandError, match="another owner"):
        run("transfer", "studio", "--to", "studio")
