"""Drafts on the site: published for good, or dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.adapters import services as adapters
from registry.models import Version, Visibility
from registry.publication import services as publication
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Adapter, Upload, User

pytestmark = pytest.mark.django_db

PAGE = "/ada/noir/versions/v2/publish"


@pytest.fixture
def draft(ada: User, noir: Adapter, sent: Callable[..., Upload]) -> Version:
    return publication.create_draft(actor=ada, adapter=noir, uploads=[sent(ada, rank=8)])


def test_a_draft_is_published_from_its_page(as_ada: Client, draft: Version) -> None:
    for place in ("/ada/noir?v=v2", "/ada/noir?tab=versions"):
        assert f'href="{PAGE}"' in as_ada.get(place).content.decode()
    asked = as_ada.get(PAGE).content.decode()
    assert "Publish v2" in asked
    assert "The adapter is private" not in asked
    assert "Check these first" not in asked
    assert as_ada.post(PAGE).status_code == 200
    draft.refresh_from_db()
    assert draft.state == "draft"
    done = as_ada.post(PAGE, {"publish": ""})
    assert (done.status_code, done.headers["Location"]) == (302, "/ada/noir?v=v2")
    draft.refresh_from_db()
    assert draft.state == "published"
    page = as_ada.get("/ada/noir?v=v2").content.decode()
    assert "v2 is published." in page
    assert PAGE not in page


def test_a_draft_is_dropped(as_ada: Client, draft: Version) -> None:
    done = as_ada.post(PAGE, {"drop": ""})
    assert (done.status_code, done.headers["Location"]) == (302, "/ada/noir")
    assert not Version.objects.filter(pk=draft.pk).exists()
    assert "v2 was discarded." in as_ada.get("/ada/noir").content.decode()


def test_what_a_file_gives_away_is_told_before_it_is_published(
    as_ada: Client, ada: User, noir: Adapter
) -> None:
    trainer = {"ss_sd_model_name": "/home/ada/models/base.safetensors"}
    data = kohya(DENOISERS["sd1", "diffusers"], rank=8, metadata=trainer)
    publication.create_draft(actor=ada, adapter=noir, uploads=[catalogue.accept(ada, data)])
    text = as_ada.get(PAGE).content.decode()
    assert "Check these first" in text
    assert 'href="/help/findings#privacy_path"' in text


def test_what_is_out_is_no_draft(as_ada: Client, v1: Version) -> None:
    for answer in (as_ada.get, as_ada.post):
        refused = answer("/ada/noir/versions/v1/publish")
        assert (refused.status_code, "no longer a draft" in refused.content.decode()) == (409, True)
    v1.refresh_from_db()
    assert v1.state == "published"


def test_nobody_else_finds_it(client: Client, bob: User, draft: Version) -> None:
    assert "/signin" in client.get(PAGE).headers["Location"]
    client.force_login(bob)
    for answer in (client.get, client.post):
        assert answer(PAGE).status_code in {403, 404}
    draft.refresh_from_db()
    assert draft.state == "draft"


def test_the_first_draft_of_a_private_adapter(
    as_ada: Client, ada: User, sent: Callable[..., Upload]
) -> None:
    adapter = adapters.create(actor=ada, name="hush", visibility=Visibility.PRIVATE)
    publication.create_draft(actor=ada, adapter=adapter, uploads=[sent(ada)])
    page = "/ada/hush/versions/v1/publish"
    assert f'href="{page}"' in as_ada.get("/ada/hush").content.decode()
    assert "The adapter is private" in as_ada.get(page).content.decode()
    assert as_ada.post(page, {"publish": ""}).status_code == 302
    assert "v1 is published." in as_ada.get("/ada/hush").content.decode()
