"""The owner's page of what previews show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from previews.recipes import prompts, selectors
from registry.adapters import services as adapters
from tests.pages.pictures import render
from tests.served import serve

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client
    from pytest_django import Settings

    from registry.models import Adapter, User, Version

pytestmark = pytest.mark.django_db

ADDRESS = "/ada/noir/recipe"
KITE = "a {trigger} kite over the sea"


@pytest.fixture
def served(settings: Settings, tmp_path: Path) -> None:
    serve(settings, tmp_path, "sd1")


def typed(*texts: str) -> dict[str, str]:
    return {f"prompts.{index}": text for index, text in enumerate(texts)}


def shown(client: Client) -> str:
    return " ".join(client.get(ADDRESS).content.decode().split())


def fields(page: str) -> list[str]:
    """What stands in the fields of the form."""
    return [text.strip() for text in re.findall(r"<textarea[^>]*>([^<]*)</textarea>", page)]


def test_owners_see_default_prompts_with_their_words_in_place(
    served: None, as_ada: Client, noir: Adapter
) -> None:
    page = shown(as_ada)
    assert "a small house by a lake, mountains in the distance, noir light" in page
    assert "edition 3 of the recipe." in page
    assert "2 seeds at 5 strengths: 10 pictures." in page
    assert "once without the adapter and once at strength 1: 2 pictures." in page
    assert "A change renders 1 version again with all its prompts, currently 20" in page
    assert fields(page) == [""] * 3
    assert "History" not in page


def test_a_family_without_a_base_is_said(as_ada: Client, noir: Adapter) -> None:
    page = shown(as_ada)
    assert "This hub has no renderer for this base model" in page
    assert "A change renders" not in page


def test_prompts_are_kept_and_shown_with_who_and_when(
    served: None, as_ada: Client, noir: Adapter
) -> None:
    answer = as_ada.post(ADDRESS, typed(KITE, "", " a  dog "), follow=True)
    assert "The previous pictures stay until the new ones are ready." in answer.content.decode()
    assert selectors.own_prompts(noir) == [KITE, "a dog"]
    page = shown(as_ada)
    assert fields(page) == [KITE, "a dog", "", ""]
    assert "No. 1, by ada, " in page
    assert "currently 24" in page


def test_six_prompts_have_six_fields(served: None, as_ada: Client, noir: Adapter) -> None:
    six = [f"a dog, {number}" for number in range(6)]
    as_ada.post(ADDRESS, typed(*six))
    assert fields(shown(as_ada)) == six


def test_the_way_back_is_not_called_prompts_that_are_kept(
    served: None, as_ada: Client, noir: Adapter
) -> None:
    as_ada.post(ADDRESS, typed(KITE))
    answer = as_ada.post(ADDRESS, typed(""), follow=True)
    assert "The default prompts are restored." in answer.content.decode()


def test_the_same_again_is_said_to_be_nothing_new(
    served: None, as_ada: Client, noir: Adapter
) -> None:
    as_ada.post(ADDRESS, typed(KITE))
    answer = as_ada.post(ADDRESS, typed("", KITE), follow=True)
    assert "The prompts have not changed" in answer.content.decode()
    assert selectors.prompt_history(noir).count() == 1


def test_one_button_leads_back_to_the_default(served: None, as_ada: Client, noir: Adapter) -> None:
    assert "Restore the default prompts" not in shown(as_ada)
    as_ada.post(ADDRESS, typed(KITE))
    assert "Restore the default prompts" in shown(as_ada)
    as_ada.post(ADDRESS, {})
    assert selectors.own_prompts(noir) == []
    assert "only the default prompts" in shown(as_ada)


def test_what_was_typed_stays_when_it_is_refused(
    served: None, as_ada: Client, noir: Adapter
) -> None:
    default = "a portrait of a woman by a window, soft light"
    answer = as_ada.post(ADDRESS, typed(KITE, default, "x" * 1001))
    page = answer.content.decode()
    assert answer.status_code == 400
    assert fields(page)[:3] == [KITE, default, "x" * 1001]
    assert 'id="id_prompts.1_error">This is a default prompt' in page
    assert 'id="id_prompts.2_error">Enter at most 1000 characters' in page
    assert 'id="id_prompts.0_error"' not in page
    assert not selectors.prompt_history(noir).exists()


def test_markup_in_a_prompt_is_text(served: None, as_ada: Client, noir: Adapter) -> None:
    as_ada.post(ADDRESS, typed("<script>alert(1)</script>"))
    assert "<script>alert(1)" not in shown(as_ada)


def test_only_owners_have_the_page_and_its_link(
    served: None, client: Client, ada: User, bob: User, v1: Version
) -> None:
    render(v1, "ready", 20)
    assert client.get(ADDRESS).headers["Location"].startswith("/signin")
    assert ADDRESS not in client.get("/ada/noir").content.decode()
    client.force_login(bob)
    assert client.get(ADDRESS).status_code == client.post(ADDRESS, {}).status_code == 403
    assert ADDRESS not in client.get("/ada/noir").content.decode()
    client.force_login(ada)
    assert f'href="{ADDRESS}"' in client.get("/ada/noir").content.decode()


def test_an_adapter_without_versions_has_the_page(as_ada: Client, ada: User) -> None:
    adapters.create(actor=ada, name="new", kind="character")
    assert "Base model not known" in as_ada.get("/ada/new/recipe").content.decode()
    answer = as_ada.post("/ada/new/recipe", typed(KITE), follow=True)
    assert "saved for future versions" in answer.content.decode()


# --- Pictures of before, while new ones are made ----------------------------------------------


@pytest.fixture
def renewed(served: None, noir: Adapter, v1: Version, ada: User) -> Version:
    """A version with pictures, and a job for others."""
    render(v1, "ready", 20)
    prompts.change(actor=ada, adapter=noir, prompts=[KITE])
    return v1


def panel(client: Client, **query: Any) -> str:
    answer = client.get("/ada/noir/previews", {"v": "v1", **query})
    return " ".join(answer.content.decode().split())


def test_the_slider_stays_while_new_pictures_are_made(client: Client, renewed: Version) -> None:
    page = panel(client)
    assert 'type="range" min="0" max="4"' in page
    assert "New pictures are being rendered, 0 of 22 so far." in page
    assert 'data-hx-get="/ada/noir/previews?v=v1&amp;part=renewal"' in page
    assert page.count('data-hx-trigger="every') == 1


def test_only_the_notice_is_asked_for_again(client: Client, renewed: Version) -> None:
    part = panel(client, part="renewal")
    assert part.startswith('<div id="renewal"')
    assert 'type="range"' not in part


def test_the_notice_leads_to_the_new_pictures(client: Client, renewed: Version) -> None:
    renewed.renders.update(state="ready")
    part = panel(client, part="renewal")
    assert "The new pictures are ready." in part
    assert "every" not in part


def test_a_failure_leaves_the_pictures_of_before(
    client: Client, ada: User, renewed: Version
) -> None:
    renewed.renders.filter(state="queued").update(state="failed", reason="It ran out of memory.")
    page = panel(client)
    assert 'type="range"' in page
    assert "New ones could not be rendered: It ran out of memory." in page
    client.force_login(ada)
    assert "Render again" in panel(client)
