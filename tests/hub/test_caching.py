"""What caches may keep of each answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.test import Client

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from hub.http.middleware import FOR_AN_HOUR, NO_STORE, REVALIDATE
from previews.models import Derivative, Image
from registry.adapters import services as adapters
from registry.models import Adapter
from tests import catalogue
from tests.pages.files import lora
from tests.pages.pictures import render
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import User

pytestmark = pytest.mark.django_db

#: Pages, API and the protocols of other hubs' clients, about one adapter or about who asks.
ABOUT_ONE = [
    "/ada/noir", "/ada/noir?v=v1", "/ada/noir/previews", "/ada/noir/gallery", "/ada/noir/recipe",
    "/ada/noir/related", "/ada/noir/compare", "/ada/noir/aliases", "/ada/noir/edit",
    "/ada/noir/versions/v1/edit",
    "/api/v1/adapters/ada/noir", "/api/v1/adapters/ada/noir/versions",
    "/api/v1/adapters/ada/noir/versions/v1", "/api/v1/adapters/ada/noir/versions/v1/previews",
    "/api/v1/models/{adapter}", "/api/v1/model-versions/{version}",
    "/api/download/models/{version}", "/api/models/ada/noir", "/api/models/ada/noir/tree/main",
    "/ada/noir/resolve/main/noir.safetensors", "/ada/noir/resolve/main/absent.txt",
    "/api/v1/adapters/ada/noir/versions/v1/files/noir.safetensors",
    "/media/covers/{version}.svg", "/media/cards/{version}.png", "/media/images/{image}.png",
    "/media/images/{image}/{digest}-256.webp",
    "/api/v1/adapters", "/api/v1/me", "/settings/tokens", "/uploads", "/publish", "/try",
    "/", "/browse", "/ada", "/help/use", "/nobody/nothing", "/signin",
]  # fmt: skip


@pytest.fixture
def noir(ada: User) -> Adapter:
    adapter = adapters.create(actor=ada, name="noir", title="Noir")
    catalogue.release(adapter, lora(), path="noir.safetensors")
    adapter.refresh_from_db()
    return adapter


@pytest.fixture
def place(noir: Adapter) -> Callable[[str], str]:
    """Return a function that fills in the numbers of an address."""
    assert noir.latest_version is not None
    blob = blob_of(b"RIFF....WEBP")
    image: Image = render(noir.latest_version, "ready", 1).images.get()
    Image.objects.filter(pk=image.pk).update(blob=blob)
    Derivative.objects.create(source=blob, kind="webp", width=256, height=256, blob=blob)
    numbers = {
        "adapter": noir.pk,
        "version": noir.latest_version.pk,
        "image": image.pk,
        "digest": blob.sha256[:12],
    }
    return lambda path: path.format(**numbers)


@pytest.fixture
def as_ada(ada: User) -> Client:
    client = Client()
    client.force_login(ada)
    return client


def kept(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code != 500
    return str(answer.headers["Cache-Control"])


@pytest.mark.parametrize("visibility", ["private", "unlisted"])
@pytest.mark.parametrize("path", ABOUT_ONE)
def test_nothing_about_a_private_or_unlisted_adapter_is_stored(
    as_ada: Client, noir: Adapter, place: Callable[[str], str], path: str, visibility: str
) -> None:
    Adapter.objects.filter(pk=noir.pk).update(visibility=visibility)
    for client in (as_ada, Client()):
        said = kept(client, place(path))
        is_for_strangers = path in {"/", "/browse", "/ada", "/help/use"} and client is not as_ada
        assert "private" in said
        assert said == REVALIDATE if is_for_strangers else "no-store" in said, (path, said)


def test_what_a_token_opens_is_not_stored(
    ada: User, noir: Adapter, token_of: Callable[..., str]
) -> None:
    secret = token_of(ada)
    Adapter.objects.filter(pk=noir.pk).update(visibility="private")
    for path in ("/browse", "/api/v1/adapters/ada/noir", "/ada/noir/resolve/main/noir.safetensors"):
        answer = Client(headers={"Authorization": f"Bearer {secret}"}).get(path)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, NO_STORE), path
    version = noir.latest_version_id
    for path, status in (
        (f"/api/v1/model-versions/{version}", 200),
        (f"/api/download/models/{version}", 302),
    ):
        answer = Client().get(f"{path}?token={secret}")
        assert (answer.status_code, answer.headers["Cache-Control"]) == (status, NO_STORE), path


def test_a_stranger_may_go_back_to_public_lists(noir: Adapter) -> None:
    for path in ("/", "/browse", f"/{noir.owner}", "/help/use"):
        assert kept(Client(), path) == REVALIDATE


def test_public_pictures_are_asked_for_again_within_an_hour(
    noir: Adapter, place: Callable[[str], str]
) -> None:
    paths = [
        place(path)
        for path in (
            "/media/images/{image}.png",
            "/media/images/{image}/{digest}-256.webp",
            "/media/cards/{version}.png",
            "/media/covers/{version}.svg",
        )
    ]
    for path in paths:
        age = re.search(r"max-age=(\d+)", kept(Client(), path))
        assert age is not None
        assert int(age[1]) <= 3600
        assert kept(Client(), path) == FOR_AN_HOUR
        assert "immutable" not in kept(Client(), path)
    etags = {path: Client().get(path).headers["ETag"] for path in paths}
    Adapter.objects.filter(pk=noir.pk).update(visibility="private")
    for path in paths:
        asked = Client().get(path, headers={"If-None-Match": etags[path]})
        assert (asked.status_code, asked.headers["Cache-Control"]) == (404, NO_STORE)
