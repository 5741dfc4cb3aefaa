"""People and things that the catalogue's tests start from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

import registry.tasks  # noqa: F401 - registers the handlers
from registry.adapters import services as adapters
from registry.models import Adapter
from tests import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import Settings

    from registry.models import Upload, User, Version
    from registry.versions.details import Details


@pytest.fixture
def noir(ada: User) -> Adapter:
    there = Adapter.objects.filter(name="noir").first()  # from a snapshot
    return there or adapters.create(
        actor=ada, name="noir", title="Noir", kind="style", tags=["Film", "dark"]
    )


@pytest.fixture
def small_parts(settings: Settings) -> None:
    """Cut uploads into parts of 64 KiB."""
    settings.LORARY = dataclasses.replace(settings.LORARY, part_bytes=64 * 1024)


@pytest.fixture
def send(db: None) -> Callable[..., Upload]:
    """Upload bytes and run their checks."""
    return catalogue.accept


@pytest.fixture
def release(db: None) -> Callable[..., Version]:
    """Upload, draft and publish in one go, as the owner."""

    def release(
        _actor: User, adapter: Adapter, data: bytes, details: Details | None = None
    ) -> Version:
        return catalogue.release(adapter, data, details)

    return release


@pytest.fixture(params=["local", pytest.param("bucket", marks=pytest.mark.service)])
def place(request: pytest.FixtureRequest, own_settings: Callable[..., None]) -> str:
    """Parts of 5 MiB in each store."""
    own_settings(part_bytes=5 * 2**20)
    if request.param == "bucket":
        request.getfixturevalue("bucket")
    return str(request.param)
