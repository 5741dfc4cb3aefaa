"""People, adapters and pictures that the pages' tests start from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.test import Client

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from registry.accounts import users
from registry.adapters import services as adapters
from registry.models import Adapter
from registry.versions.details import Details
from tests import catalogue
from tests.browsing import DESK, Visit
from tests.pages.files import lora
from tests.snapshots import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

    from registry.models import Upload, User, Version
    from tests.running import RunningHub


class PageClient(Client):
    """A client whose pages come without the line breaks and indentation of their templates."""

    def request(self, **request: Any) -> Any:
        answer = super().request(**request)
        if answer.headers.get("Content-Type", "").startswith("text/html") and not answer.streaming:
            text = re.sub(r"\s*\n\s*", "\n", answer.content.decode())
            text = re.sub(r"(?<=>)\n|\n(?=[<>])|(?<=[\w\"]) (?=>)|^\n", "", text)
            answer.content = text.replace("\n", " ").encode()
        return answer


@pytest.fixture
def client() -> Client:
    return PageClient()


@pytest.fixture
def as_operator(client: Client) -> Client:
    """A client that is signed in as an administrator, rosa."""
    rosa = users.create_user(name="rosa", password=catalogue.PASSWORD)
    users.set_staff(actor=None, user=rosa, is_staff=True)
    client.force_login(rosa)
    return client


@pytest.fixture(autouse=True)
def _forget_limits() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def as_ada(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


@pytest.fixture
def sent() -> Callable[..., Upload]:
    """Upload a small adapter and run its checks."""

    def sent(owner: User, path: str = "noir.safetensors", rank: int = 4) -> Upload:
        return catalogue.accept(owner, lora(rank), path)

    return sent


def _publish(owner: User, name: str = "noir", **card: Any) -> Adapter:
    adapter = adapters.create(actor=owner, name=name, **card)
    said = Details(trigger_words=("noir light",), strength=0.9, strength_min=0.7, strength_max=1.0)
    catalogue.release(adapter, lora(), said, path=f"{name}.safetensors")
    adapter.refresh_from_db()
    return adapter


def _publish_noir(ada: User) -> Adapter:
    return _publish(ada, title="Noir", summary="Hard shadows.", tags=["film", "dark"])


NOIR = Snapshot(lambda _: _publish_noir(catalogue.ada()))


@pytest.fixture
def published(db: None) -> Callable[..., Adapter]:
    """Publish an adapter with one version."""
    return _publish


@pytest.fixture(autouse=True)
def _noir(request: pytest.FixtureRequest) -> None:
    NOIR.put_for(request, "noir")


@pytest.fixture
def noir(ada: User) -> Adapter:
    return Adapter.objects.filter(name="noir").first() or _publish_noir(ada)


@pytest.fixture
def v1(noir: Adapter) -> Version:
    assert noir.latest_version is not None
    return noir.latest_version


@pytest.fixture
def desk(browser: Browser, hub: RunningHub) -> Iterator[Visit]:
    """A visit of the module's own ``hub`` in a window of 1440 pixels."""
    visit = Visit(browser, hub.url, **DESK)
    yield visit
    visit.close()
