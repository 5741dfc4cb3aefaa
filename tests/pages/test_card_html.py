"""Cards are formatted when they are saved; a view only sends what was stored."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from django.test import Client

from registry.adapters import services as adapters
from registry.cards import markdown
from registry.cards import services as cards
from registry.cards.markdown import RENDERER
from registry.commits.services import Inline
from registry.models import Adapter, CardHtml, CardProblem
from registry.publication import services as publication
from tests import catalogue
from tests.pages.files import lora
from tests.registry.pushing import push

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import User

pytestmark = pytest.mark.django_db(transaction=True)

CARD = "# Rain\n\nUse it at **0.8**."
HTML = "<h2>Rain</h2>\n<p>Use it at <strong>0.8</strong>.</p>\n"
HOSTILE = "![" * 99_999


@pytest.fixture
def noir(ada: User) -> Adapter:
    adapter = adapters.create(actor=ada, name="noir", card=CARD)
    catalogue.release(adapter, lora(), path="noir.safetensors")
    adapter.refresh_from_db()
    return adapter


def stored(adapter: Adapter) -> str:
    return CardHtml.objects.get(adapter=adapter, renderer=RENDERER).html


def shown(client: Client) -> str:
    return client.get("/ada/noir").content.decode()


def by_page(ada: User, _noir: Adapter, card: str) -> None:
    client = Client()
    client.force_login(ada)
    said = {"kind": "style", "maturity": "general", "visibility": "public", "card": card}
    assert client.post("/ada/noir/edit", said).status_code == 302


def by_api(ada: User, _noir: Adapter, card: str) -> None:
    client = Client()
    client.force_login(ada)
    body = json.dumps({"card": card})
    answer = client.patch("/api/v1/adapters/ada/noir", body, content_type="application/json")
    assert answer.status_code == 200


def by_commit(_ada: User, noir: Adapter, card: str) -> None:
    push(noir, Inline("README.md", card.encode()))


SAVES = [by_page, by_api, by_commit]


def test_a_readme_that_is_published_with_a_version_is_formatted(ada: User) -> None:
    adapter = adapters.create(actor=ada, name="noir")
    uploads = [
        catalogue.accept(ada, lora(), "noir.safetensors"),
        catalogue.accept(ada, CARD.encode(), "README.md"),
    ]
    publication.release(actor=ada, adapter=adapter, uploads=uploads)
    assert stored(adapter) == HTML


@pytest.mark.parametrize("save", SAVES)
def test_each_way_to_save_a_card_stores_its_html(
    ada: User, noir: Adapter, save: Callable[[User, Adapter, str], None]
) -> None:
    save(ada, noir, "# Snow")
    assert stored(noir) == "<h2>Snow</h2>\n"
    save(ada, noir, " ")
    assert not CardHtml.objects.filter(adapter=noir).exists()


def test_a_view_sends_what_is_stored(client: Client, noir: Adapter) -> None:
    markdown.card_of(noir)
    CardHtml.objects.filter(adapter=noir).update(html="<p>stored before</p>")
    assert "<p>stored before</p>" in shown(client)
    told = client.get(f"/api/v1/models/{noir.pk}").json()
    assert told["description"] == "<p>stored before</p>"


@pytest.mark.parametrize(
    "change", [{"renderer": RENDERER - 1}, {"sha256": "0" * 64}], ids=["renderer", "text"]
)
def test_html_of_another_renderer_or_text_is_made_again(
    client: Client, noir: Adapter, change: dict[str, object]
) -> None:
    markdown.card_of(noir)
    CardHtml.objects.filter(adapter=noir).update(html="<p>old</p>", **change)
    page = shown(client)
    assert "<h2>Rain</h2>" in page
    assert "<p>old</p>" not in page
    assert stored(noir) == HTML


def test_the_card_of_a_new_adapter_is_formatted_at_its_first_view(
    client: Client, noir: Adapter
) -> None:
    assert not CardHtml.objects.exists()
    assert "<h2>Rain</h2>" in shown(client)
    assert stored(noir) == HTML


@pytest.mark.parametrize("save", SAVES)
def test_a_hostile_card_costs_little_when_saved_and_next_to_nothing_when_seen(
    client: Client, ada: User, noir: Adapter, save: Callable[[User, Adapter, str], None]
) -> None:
    began = time.thread_time()
    save(ada, noir, HOSTILE)
    assert time.thread_time() - began < 2.0
    page = shown(client)
    assert f">{HOSTILE}</pre>" in page
    assert "This card is shown as plain text: it has too many formatting characters." in page
    noir.refresh_from_db()
    spent = []
    for _ in range(5):
        began = time.thread_time()
        assert markdown.card_of(noir).problem
        spent.append(time.thread_time() - began)
    assert min(spent) < 0.02


def test_a_card_that_took_too_long_is_tried_again_when_it_is_saved(
    client: Client, ada: User, noir: Adapter
) -> None:
    markdown.card_of(noir)
    CardHtml.objects.filter(adapter=noir).update(html="", problem=CardProblem.SLOW)
    assert "This card is shown as plain text: formatting it takes too long." in shown(client)
    cards.edit_adapter(actor=ada, adapter=noir, card=CARD)
    assert "<h2>Rain</h2>" in shown(client)


def test_a_card_that_is_not_formatted_is_escaped(client: Client, ada: User, noir: Adapter) -> None:
    cards.edit_adapter(
        actor=ada, adapter=noir, card="- " * 10 + "<script>alert(1)</script> & so on"
    )
    page = shown(client)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; so on</pre>" in page
    told = client.get(f"/api/v1/models/{noir.pk}").json()["description"]
    assert told.startswith("<pre>- - ")
    assert "<script" not in told
