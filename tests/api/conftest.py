"""People, callers and files that the API's tests start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.test import Client

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from registry import storage
from registry.adapters import services as adapters
from registry.models import Adapter
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.models import Upload, User, Version

API = "/api/v1"


class Caller(Client):
    """A client that comes with a token and speaks JSON."""

    def __init__(self, secret: str = "") -> None:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        super().__init__(headers=headers, enforce_csrf_checks=True)

    def send(self, method: str, path: str, data: Any = None, **more: Any) -> Any:
        """Send JSON to a path below ``/api/v1`` (or a whole one)."""
        place = path if path.startswith(("/api", "http")) else f"{API}/{path}"
        kind = more.pop("content_type", "application/json")
        return getattr(self, method)(place, data=data, content_type=kind, **more)

    def put_bytes(self, path: str, data: bytes, **more: Any) -> Any:
        """Send a raw body."""
        return self.send("put", path, data, content_type="application/octet-stream", **more)


@pytest.fixture(autouse=True)
def _no_memory() -> Iterator[None]:
    """Forget throttles."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def lora() -> bytes:
    return kohya(DENOISERS["sd1", "diffusers"])


@pytest.fixture
def as_ada(ada: User, token_of: Callable[..., str]) -> Caller:
    return Caller(token_of(ada))


@pytest.fixture
def as_bob(bob: User, token_of: Callable[..., str]) -> Caller:
    return Caller(token_of(bob))


@pytest.fixture
def stranger() -> Caller:
    return Caller()


@pytest.fixture
def noir(ada: User) -> Adapter:
    there = Adapter.objects.filter(name="noir").first()  # from a snapshot
    return there or adapters.create(
        actor=ada, name="noir", title="Noir", kind="style", tags=["film"]
    )


@pytest.fixture
def accepted(db: None) -> Callable[..., Upload]:
    """Upload bytes through the services and run their checks."""
    return catalogue.accept


@pytest.fixture
def released(db: None) -> Callable[..., Version]:
    """Publish bytes as a version."""

    def released(adapter: Adapter, data: bytes, path: str = "noir.safetensors") -> Version:
        return catalogue.release(adapter, data, path=path)

    return released


@pytest.fixture
def stored() -> Callable[[], list[str]]:
    """Return the names of everything in the blob store."""
    return lambda: [entry.name for entry in storage.store().names()]
