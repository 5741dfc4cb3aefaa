"""People, callers and files that the tests of the protocols start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.cache import cache
from django.test import Client

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from registry.adapters import services as adapters
from registry.models import Adapter
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.snapshots import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.models import User, Version


@pytest.fixture(autouse=True)
def _no_memory() -> Iterator[None]:
    """Forget throttles."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def caller() -> Callable[[str], Client]:
    """Return a client that comes with a token."""

    def caller(secret: str) -> Client:
        return Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {secret}"})

    return caller


@pytest.fixture
def as_ada(ada: User, token_of: Callable[..., str], caller: Callable[[str], Client]) -> Client:
    return caller(token_of(ada))


@pytest.fixture
def as_bob(bob: User, token_of: Callable[..., str], caller: Callable[[str], Client]) -> Client:
    return caller(token_of(bob))


@pytest.fixture
def stranger() -> Client:
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def lora() -> bytes:
    return kohya(DENOISERS["sd1", "diffusers"])


def _publish_noir(ada: User) -> Adapter:
    adapter = adapters.create(actor=ada, name="noir", title="Noir", kind="style", tags=["film"])
    catalogue.release(adapter, kohya(DENOISERS["sd1", "diffusers"]))
    adapter.refresh_from_db()
    return adapter


NOIR = Snapshot(lambda _: _publish_noir(catalogue.ada()))


@pytest.fixture(autouse=True)
def _noir(request: pytest.FixtureRequest) -> None:
    NOIR.put_for(request, "noir")


@pytest.fixture
def noir(ada: User) -> Adapter:
    """A published style with one version."""
    return Adapter.objects.filter(name="noir").first() or _publish_noir(ada)


@pytest.fixture
def first(noir: Adapter) -> Version:
    return noir.versions.get()
