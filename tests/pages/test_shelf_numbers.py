"""Numbers on shelves and beside filters tell nothing of adapters that a viewer may not list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf(ada: User, published: Callable[..., Adapter]) -> None:
    """Three adapters of which strangers may list the last alone."""
    published(ada, "hidden", visibility="private", tags=["secret", "film"])
    published(ada, "unlisted", visibility="unlisted", tags=["secret", "film"])
    published(ada, "seen", tags=["film"])


@pytest.mark.parametrize("path", ["/", "/browse", "/ada"])
def test_a_card_is_numbered_by_its_place(client: Client, shelf: None, path: str) -> None:
    page = client.get(path).content.decode()
    assert re.findall(r'class="top"><span>(\d+)</span>', page) == ["001"]


def test_counts_are_over_what_a_viewer_may_list(client: Client, ada: User, shelf: None) -> None:
    def counts() -> list[tuple[str, str]]:
        page = client.get("/browse").content.decode()
        assert "1 adapter" in page or "3 adapters" in page
        return re.findall(r'name="tag" value="(\w+)".*?(\d+)</', page)

    assert counts() == [("film", "1")]
    client.force_login(ada)
    assert counts() == [("film", "3"), ("secret", "2")]


@pytest.mark.parametrize("path", ["/api/v1/tags", "/api/v1/creators"])
def test_counts_of_other_doors_are_too(client: Client, shelf: None, path: str) -> None:
    items: list[dict[str, Any]] = client.get(path).json()["items"]
    assert [item["modelCount"] for item in items] == [1]
