"""Taking things down on the site, and the pages that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.adapters import services as adapters
from registry.models import Adapter, Version
from registry.publication import services as publication
from registry.versions import withdraw
from tests import catalogue
from tests.pages.files import lora

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Upload, User

pytestmark = pytest.mark.django_db

V1 = "/ada/noir/versions/v1/withdraw"
ALL = "/ada/noir/withdraw"
WHY = "Rights of the photographer."


def test_a_version_is_taken_down_after_its_name_was_typed(
    as_ada: Client, client: Client, v1: Version
) -> None:
    assert f'href="{V1}"' in as_ada.get("/ada/noir?tab=versions").content.decode()
    page = as_ada.get(V1).content.decode()
    assert "Withdraw v1" in page
    for said, text in (
        ({"reason": WHY, "name": "v2"}, "Type “v1” exactly."),
        ({"reason": WHY}, "required"),
        ({"reason": " ", "name": "v1"}, "required"),
        ({"reason": "x" * 281, "name": "v1"}, "280"),
        ({"reason": "a\x00b", "name": "v1"}, "Null characters"),
    ):
        answer = as_ada.post(V1, said)
        assert (answer.status_code, text in answer.content.decode()) == (400, True), said
    v1.refresh_from_db()
    assert v1.state == "published"
    done = as_ada.post(V1, {"reason": WHY, "name": "v1"})
    assert (done.status_code, done.headers["Location"]) == (302, "/ada/noir?v=v1")
    gone = as_ada.get("/ada/noir?v=v1")
    text = gone.content.decode()
    assert gone.status_code == 410
    for words in (WHY, "by its owner", "SHA-256", "v1 was withdrawn"):
        assert words in text
    assert f'href="{V1}"' not in text
    again = as_ada.post(V1, {"reason": "another", "name": "v1"})
    assert (again.status_code, "already withdrawn" in again.content.decode()) == (400, True)


def test_the_tombstone_leads_to_what_is_offered_now(
    as_ada: Client, ada: User, noir: Adapter, v1: Version
) -> None:
    catalogue.release(noir, lora(8))
    withdraw.withdraw(actor=ada, version=v1, reason=WHY)
    text = as_ada.get("/ada/noir?v=v1").content.decode()
    assert "Go to v2" in text
    assert as_ada.get("/ada/noir").status_code == 200
    tab = as_ada.get("/ada/noir?tab=versions").content.decode()
    assert f"Withdrawn: {WHY}" in tab


def test_a_whole_adapter_is_taken_down(
    as_ada: Client, ada: User, noir: Adapter, v1: Version, sent: Callable[..., Upload]
) -> None:
    publication.create_draft(actor=ada, adapter=noir, uploads=[sent(ada, rank=8)])
    assert f'href="{ALL}"' in as_ada.get("/ada/noir?tab=versions").content.decode()
    refused = as_ada.post(ALL, {"reason": WHY, "name": "noir"})
    assert (refused.status_code, "Type “ada/noir” exactly." in refused.content.decode()) == (
        400, True,
    )  # fmt: skip
    assert as_ada.post(ALL, {"reason": WHY, "name": "ada/noir"}).headers["Location"] == "/ada/noir"
    gone = as_ada.get("/ada/noir")
    text = gone.content.decode()
    assert gone.status_code == 410
    (file,) = v1.files
    for said in (WHY, "The adapter was withdrawn", "by its owner", file.sha256, "noir.safetensors"):
        assert said in text
    for place in ("?v=v1", "/edit", "/aliases", "/versions/v1/edit", "/versions/v1/yank"):
        assert as_ada.get(f"/ada/noir{place}").status_code == 410, place
    assert 'href="/ada/noir"' not in as_ada.get("/ada").content.decode()
    assert as_ada.get("/publish?to=ada/noir").status_code == 410


def test_an_adapter_of_drafts_alone_can_be_taken_down(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    adapter = adapters.create(actor=ada, name="draft")
    publication.create_draft(actor=ada, adapter=adapter, uploads=[sent(ada)])
    as_ada.post("/ada/draft/withdraw", {"reason": WHY, "name": "ada/draft"})
    assert not Version.objects.exists()
    for place in ("/ada/draft", "/ada/draft?v=v1"):
        answer = as_ada.get(place)
        assert (answer.status_code, WHY in answer.content.decode()) == (410, True)


def test_only_its_owner_and_those_who_run_the_hub_take_down(
    client: Client, bob: User, v1: Version
) -> None:
    said = {"reason": WHY, "name": "v1"}
    assert client.get(V1).headers["Location"].startswith("/signin?next=")
    client.force_login(bob)
    for place in (V1, ALL):
        assert client.get(place).status_code == 403
        assert client.post(place, said).status_code == 403
    assert "Withdraw" not in client.get("/ada/noir?tab=versions").content.decode()
    bob.is_staff = True
    bob.save()
    tab = client.get("/ada/noir?tab=versions").content.decode()
    assert "Withdraw" in tab
    assert "Yank" not in tab
    assert client.post(V1, said).status_code == 302
    assert "by an administrator" in client.get("/ada/noir?v=v1").content.decode()
