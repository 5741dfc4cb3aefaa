"""The recipe of a preview, as text to paste and as a request to the API."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

import pytest
from django.test import Client

from hub.api.previews.tryouts import TryoutIn
from lorary.pictures.claims import a1111
from previews.models import Recipe
from tests.pages.pictures import DOCUMENT, render

if TYPE_CHECKING:
    from registry.models import Version

pytestmark = pytest.mark.django_db


def copied(page: str, form: str) -> str:
    """What the button for a form copies."""
    [text] = re.findall(rf'data-recipe="{form}" data-copy="([^"]*)"', page, re.DOTALL)
    return html.unescape(text)


def page_of(query: str = "") -> str:
    # The tests' own client joins lines, which are part of these texts.
    return str(Client().get(f"/ada/noir{query}").content.decode())


@pytest.fixture
def pictures(v1: Version) -> None:
    render(v1, "ready", 20)
    Recipe.objects.update(
        document=DOCUMENT
        | {"base": "tiny", "guidance": 2.5, "negative": "blur", "prompts": ["{trigger} cat", "b"],
           "width": 128, "height": 128}
    )  # fmt: skip


@pytest.mark.usefixtures("pictures")
def test_the_text_is_what_a1111_reads(v1: Version) -> None:
    facts = a1111.read(copied(page_of("?seed=2&at=3"), "infotext"))
    assert facts is not None
    told = facts.to_dict()
    assert told["prompt"].endswith("<lora:noir:0.75>")
    assert (told["negative"], told["seed"], told["steps"]) == ("blur", 2, 8)
    assert (told["guidance"], told["size"], told["model"]) == (2.5, "128x128", "tiny")
    hashes = {digest for item in told["resources"] for digest in item.get("hashes", ())}
    primary = v1.primary_file
    assert primary is not None
    assert primary.blob.hashes["autov3"] in hashes


@pytest.mark.usefixtures("pictures")
def test_the_text_without_the_adapter_does_not_name_it() -> None:
    text = copied(page_of("?at=0"), "infotext")
    assert text.startswith("a cat\n")
    assert "lora" not in text.casefold()


@pytest.mark.usefixtures("pictures")
def test_the_json_is_a_request_for_the_same_picture() -> None:
    body = json.loads(copied(page_of("?prompt=0&seed=2&at=2"), "request"))
    given = TryoutIn(data=body)
    assert given.is_valid(), given.errors
    assert body["layers"] == [{"adapter": "ada/noir", "version": "v1", "strength": 0.5}]
    assert (body["prompt"], body["seed"], body["steps"]) == ("{trigger} cat", 2, 8)


@pytest.mark.usefixtures("pictures")
def test_every_frame_has_its_recipe(client: Client) -> None:
    page = client.get("/ada/noir/previews?v=v1").content.decode()
    strengths = re.findall(r'data-infotext="[^"]*?&lt;lora:noir:([\d.]+)&gt;', page)
    assert strengths == ["0.25", "0.5", "0.75", "1.0"]
