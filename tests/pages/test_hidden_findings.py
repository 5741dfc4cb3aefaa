"""Findings that only an owner may read are counted for everybody else, and never called clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.adapters import services as adapters
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db

SD1 = DENOISERS["sd1", "diffusers"]
PRIVATE = {"note": "/home/ada/pictures/holiday"}


def page(client: Client, owner: User, metadata: dict[str, str] | None) -> str:
    adapter = adapters.create(actor=owner, name="noir")
    catalogue.release(adapter, kohya(SD1, metadata=metadata))
    return client.get("/ada/noir?tab=findings").content.decode()


def test_a_stranger_is_told_that_there_is_something(client: Client, ada: User) -> None:
    told = page(client, ada, PRIVATE)
    assert "1 finding is visible only to the owner." in told
    assert "No findings" not in told
    assert "/home/ada" not in told
    assert 'Findings<span class="n">0</span>' not in told


def test_a_stranger_reads_that_a_file_is_clear(client: Client, ada: User) -> None:
    told = page(client, ada, None)
    assert "No findings" in told
    assert "visible only to the owner" not in told


def test_the_owner_reads_the_finding_itself(as_ada: Client, ada: User) -> None:
    told = page(as_ada, ada, PRIVATE)
    assert "visible only to the owner" not in told
    assert 'Findings<span class="n">1</span>' in told
