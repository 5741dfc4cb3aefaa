"""The related files on an adapter's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub.pages.adapters.relatives_panel import relatives_of
from registry.adapters import services as adapters
from registry.models import Version, VersionState
from tests import catalogue
from tests.builders.relatives import rewritten, write_original

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def noir(ada: User, tmp_path: Path) -> Path:
    """The published file."""
    path = tmp_path / "noir.safetensors"
    write_original(path, "sd1", "kohya", seed=3, modules=8)
    catalogue.release(adapters.create(actor=ada, name="film"), path.read_bytes())
    return path


@pytest.fixture
def strong(noir: Path, tmp_path: Path) -> bytes:
    """A copy of twice its strength."""
    out = tmp_path / "strong.safetensors"
    return rewritten(
        noir, out, lambda name, array: array * (2 if "lora_up" in name else 1)
    ).read_bytes()


def test_the_page_names_related_files(client: Client, bob: User, strong: bytes) -> None:
    catalogue.release(adapters.create(actor=bob, name="strong"), strong)
    page = client.get("/ada/film?tab=files").content.decode()
    assert "Related files on this hub" in page
    assert '<a href="/bob/strong?v=v1">bob/strong v1</a>' in page
    assert "Same weights, 2.00 times as strong as here" in page
    assert "Same weights, 0.50 times" in client.get("/bob/strong?tab=files").content.decode()


def test_the_page_is_silent_about_hidden_ones(client: Client, bob: User, strong: bytes) -> None:
    catalogue.release(adapters.create(actor=bob, name="mine", visibility="private"), strong)
    assert "Related files" not in client.get("/ada/film?tab=files").content.decode()
    client.force_login(bob)
    assert "bob/mine v1" in client.get("/ada/film?tab=files").content.decode()


def test_no_relatives_of_a_withdrawn_version_are_listed(bob: User, strong: bytes) -> None:
    there = catalogue.release(adapters.create(actor=bob, name="strong"), strong)
    files = list(there.files)
    assert [line.name for line in relatives_of(bob, there, files)] == ["ada/film v1"]
    catalogue.put(Version.objects.filter(pk=there.pk), VersionState.WITHDRAWN)
    there.refresh_from_db()
    assert relatives_of(bob, there, files) == []


def test_an_upload_links_the_versions_that_it_resembles(
    client: Client, bob: User, noir: Path, strong: bytes
) -> None:
    catalogue.accept(bob, strong)
    client.force_login(bob)
    page = client.get("/uploads").content.decode()
    assert "A copy of these weights is already published, in another form: ada/film v1." in page
    assert 'href="/ada/film?v=v1"' in page
