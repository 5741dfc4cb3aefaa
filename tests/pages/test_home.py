"""The first page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db


def test_a_bare_install_says_how_to_begin(client: Client) -> None:
    page = client.get("/").content.decode()
    assert "The shelf is empty" in page
    assert "lorary push" in page
    assert "A library of LoRAs" in page


def test_it_shows_what_is_new(client: Client, noir: Adapter) -> None:
    page = client.get("/").content.decode()
    assert "One of them here" in page
    assert 'href="/ada/noir"' in page
    assert "lorary pull ada/noir" in page
    assert "noir light" in page


def test_private_adapters_are_not_on_it(client: Client, ada: User, noir: Adapter) -> None:
    type(noir).objects.update(visibility="private")
    assert "/ada/noir" not in client.get("/").content.decode()
    client.force_login(ada)
    assert "/ada/noir" in client.get("/").content.decode()


def test_its_queries_do_not_grow_with_the_shelf(
    client: Client,
    noir: Adapter,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_max_num_queries(20):
        client.get("/")
