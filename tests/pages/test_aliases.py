"""The page of aliases: where they point, where they were, and their owner's moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.aliases import services as aliases
from registry.models import Alias
from registry.versions import services as versions
from registry.versions import withdraw
from tests import catalogue
from tests.pages.files import lora

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db

PLACE = "/ada/noir/aliases"


@pytest.fixture
def v2(noir: Adapter, v1: Version) -> Version:
    return catalogue.release(noir, lora(8))


def test_everyone_reads_where_aliases_point_and_pointed(
    client: Client, ada: User, noir: Adapter, v1: Version, v2: Version
) -> None:
    for version in (v1, v2):
        aliases.point(actor=ada, adapter=noir, name="stable", to=version.revision)
    answer = client.get(PLACE)
    page = answer.content.decode()
    assert answer.status_code == 200
    points = '<th scope="row">stable</th><td data-label="Points to"><a href="/ada/noir?v=v2">v2</a>'
    assert points in page
    assert '<td data-label="From">v1</td><td data-label="To">v2</td>' in page
    assert "Create an alias" not in page
    assert "<select" not in page.partition("<main")[2]
    tab = client.get("/ada/noir?tab=versions").content.decode()
    assert '<span class="chip">@stable</span>' in tab
    assert f'href="{PLACE}"' in tab
    assert client.get("/ada/noir?v=stable").status_code == 200


def test_its_owner_makes_moves_and_removes_one(
    as_ada: Client, noir: Adapter, v1: Version, v2: Version
) -> None:
    assert as_ada.post(PLACE, {"name": "stable", "to": "v1", "seen": ""}).status_code == 302
    assert Alias.objects.get(adapter=noir, name="stable").revision == v1.revision
    page = as_ada.get(PLACE).content.decode()
    assert f'name="seen" value="{v1.revision.commit}"' in page
    said = {"name": "stable", "to": "v2", "seen": v1.revision.commit}
    assert as_ada.post(PLACE, said).status_code == 302
    late = as_ada.post(PLACE, said)
    assert (late.status_code, "now points to v2, not to v1" in late.content.decode()) == (
        400, True,
    )  # fmt: skip
    sure = as_ada.get(f"{PLACE}/stable/remove").content.decode()
    assert "Remove “stable”" in sure
    assert as_ada.post(f"{PLACE}/stable/remove").status_code == 302
    assert Alias.objects.get(adapter=noir, name="stable").revision is None
    page = as_ada.get(PLACE).content.decode()
    assert '<th scope="row">stable</th>' not in page
    assert '<span class="muted">removed</span>' in page
    assert as_ada.get(f"{PLACE}/stable/remove").status_code == 404


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"name": "main", "to": "v1"}, "“main” is moved by publishing"),
        ({"name": "v7", "to": "v1"}, "looks like a version"),
        ({"name": "a b", "to": "v1"}, "An alias must have 1 to 96 letters"),
        ({"name": "", "to": "v1"}, "required"),
        ({"name": "stable", "to": "v9"}, "valid choice"),
        ({"name": "stable", "to": "v1", "seen": "f" * 40}, "has no version, alias or revision"),
    ],
)
def test_what_does_not_fit_is_told(
    as_ada: Client, v1: Version, said: dict[str, str], text: str
) -> None:
    answer = as_ada.post(PLACE, said)
    assert answer.status_code == 400
    assert text in answer.content.decode()
    assert not Alias.objects.filter(name="stable").exists()


def test_strangers_move_nothing(client: Client, ada: User, bob: User, v1: Version) -> None:
    aliases.point(actor=ada, adapter=v1.adapter, name="stable", to=v1.revision)
    said = {"name": "stable", "to": "v1"}
    assert client.post(PLACE, said).headers["Location"].startswith("/signin")
    client.force_login(bob)
    for place in (PLACE, f"{PLACE}/stable/remove"):
        assert client.post(place, said).status_code == 403
    assert client.get(f"{PLACE}/stable/remove").status_code == 403


def test_what_main_downloads_after_a_yank_is_said(
    client: Client, ada: User, v1: Version, v2: Version
) -> None:
    assert "clients get v" not in client.get(PLACE).content.decode()
    versions.yank(actor=ada, version=v2, reason="Too strong.")
    page = client.get(PLACE).content.decode()
    assert page.count("Hugging Face clients get v1 instead.") == 1
    assert client.get("/api/models/ada/noir/revision/main").json()["sha"] == v1.revision.commit


def test_markup_and_withdrawn_versions_are_shown_as_what_they_are(
    as_ada: Client, ada: User, noir: Adapter, v1: Version
) -> None:
    aliases.point(actor=ada, adapter=noir, name="stable", to=v1.revision)
    withdraw.withdraw(actor=ada, version=v1, reason="<script>alert(1)</script>")
    page = as_ada.get(PLACE).content.decode()
    assert '<span class="chip quiet">Withdrawn</span>' in page
    assert "Publish a version first" in page
    gone = as_ada.get("/ada/noir?v=stable")
    text = gone.content.decode()
    assert (gone.status_code, "“stable” is v1." in text) == (410, True)
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
