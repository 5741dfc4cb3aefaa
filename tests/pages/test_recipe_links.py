"""Making a picture again: the link to the try page, or the settings as text."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from hub.pages.pictures import recipe_links
from hub.pages.pictures.copied_recipe import infotext
from tests.pages.pictures import render, sample_of
from tests.served import serve

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client
    from pytest_django import Settings

    from registry.models import Version

pytestmark = pytest.mark.django_db

FACTS = {
    "prompt": "a harbour <lora:noir:0.6>, fog", "negative": "blurry", "seed": 0, "steps": 20,
    "guidance": 6.5, "size": "512x768",
}  # fmt: skip
TEXT = """a harbour <lora:noir:0.6>, fog
Negative prompt: blurry
Steps: 20, CFG scale: 6.5, Seed: 0, Size: 512x768"""


def test_settings_are_written_as_other_tools_read_them() -> None:
    assert infotext(FACTS) == TEXT
    assert infotext({"name": "night.png"}) == ""


def test_a_gallery_offers_the_try_page_where_it_renders_the_base(
    client: Client, v1: Version, settings: Settings, tmp_path: Path
) -> None:
    sample_of(v1, facts=FACTS)
    page = client.get("/ada/noir").content.decode()
    assert "Use this recipe" not in page
    assert "Copy the settings" in page
    serve(settings, tmp_path, "sd1")
    page = client.get("/ada/noir").content.decode()
    assert "Copy the settings" not in page
    asked = _asked(page)
    assert asked == {
        "layer": ["ada/noir@v1"], "strength": ["0.9"], "prompt": ["a harbour, fog"],
        "negative": ["blurry"], "seed": ["0"], "plain": ["on"],
    }  # fmt: skip


def test_the_try_page_is_filled_in(
    client: Client, v1: Version, settings: Settings, tmp_path: Path
) -> None:
    serve(settings, tmp_path, "sd1")
    url = recipe_links.mixer_url(v1, FACTS, strength=-0.5, is_plain=False)
    page = client.get(url).content.decode()
    assert "a harbour, fog</textarea>" in page
    assert 'value="-0.5"' in page
    assert 'value="blurry"' in page


def test_a_sweep_offers_the_recipe_of_its_chosen_picture(
    client: Client, v1: Version, settings: Settings, tmp_path: Path
) -> None:
    serve(settings, tmp_path, "sd1")
    render(v1, "ready", 5)
    page = client.get("/ada/noir?at=2").content.decode()
    asked = _asked(page)
    assert (asked["strength"], asked["prompt"], asked["seed"]) == (["0.5"], ["a"], ["1"])
    assert "plain" not in asked
    assert "View large, with the settings" in page


def _asked(page: str) -> dict[str, list[str]]:
    """Return the values of the first link to the try page with a recipe."""
    before, _at, _after = page.partition('" data-use-recipe')
    url = before.rpartition('href="')[2].replace("&amp;", "&")
    return parse_qs(urlsplit(url).query)
