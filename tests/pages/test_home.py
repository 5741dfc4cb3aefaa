"""The first page."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry.models import Adapter, Worker
from tests.pages.pictures import render, sample_of

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries, Settings

    from registry.models import User, Version

pytestmark = pytest.mark.django_db


def test_a_bare_install_says_how_to_begin(client: Client) -> None:
    page = client.get("/").content.decode()
    assert "No adapters yet" in page
    assert "lorary push" in page
    assert "A library of LoRAs" in page
    assert "Publish the first adapter</a>" in page
    assert 'href="/help/use#upload"' in page
    assert 'id="q"' not in page


def test_it_shows_what_is_new(client: Client, noir: Adapter) -> None:
    page = client.get("/").content.decode()
    assert "This hub has one, inspected before you download it." in page
    assert 'href="/ada/noir"' in page
    assert "Publish the first adapter" not in page
    assert 'id="q"' in page
    assert "lorary pull ada/noir" in page
    assert "noir light" in page


def test_private_adapters_are_not_on_it(client: Client, ada: User, noir: Adapter) -> None:
    type(noir).objects.update(visibility="private")
    assert "/ada/noir" not in client.get("/").content.decode()
    client.force_login(ada)
    assert "/ada/noir" in client.get("/").content.decode()


def test_its_queries_do_not_grow_with_the_shelf(
    client: Client,
    v1: Version,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    render(v1, "ready", 20)
    with django_assert_max_num_queries(12):
        client.get("/")


def test_the_newest_pictures_are_its_first_sight(client: Client, v1: Version) -> None:
    render(v1, "ready", 20)
    page = client.get("/").content.decode()
    assert "rising strength" in page
    assert len(re.findall(r'src="/media/images/\d+.png"', page)) == 6  # five strengths and the card
    assert 'alt="a cat, strength 0"' in page


def test_without_sweeps_the_newest_upload_is(client: Client, v1: Version) -> None:
    sample = sample_of(v1)
    page = client.get("/").content.decode()
    assert "rising strength" not in page
    assert "The newest picture" in page
    assert "uploaded by the author, not rendered here" in page
    assert page.count(f'src="/media/samples/{sample.pk}.webp"') == 2  # at the top, and on the card


def test_mature_pictures_are_no_first_sight(client: Client, v1: Version) -> None:
    sample_of(v1)
    Adapter.objects.update(maturity="mature")
    assert "/media/samples/" not in client.get("/").content.decode()


def test_unfinished_pictures_are_not(client: Client, v1: Version) -> None:
    render(v1, "running", 6)
    assert "/media/images/" not in client.get("/").content.decode()


def test_the_footer_of_a_hub_without_previews_does_not_speak_of_them(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    sentence = "This hub renders its previews"
    assert sentence in client.get("/").content.decode()
    (tmp_path / "off.toml").touch()
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=tmp_path / "off.toml")
    assert sentence not in client.get("/").content.decode()
    facts = {"families": ["miniature"], "bases": [{"id": "tiny", "family": "miniature"}]}
    Worker.objects.create(
        name="gpu:1", queues=["render.miniature"], facts=facts, seen_at=timezone.now()
    )
    assert sentence in client.get("/").content.decode()
