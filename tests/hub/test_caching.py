"""What caches may keep of each answer."""

from __future__ import annotations

import gzip
import io
import re
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from PIL import Image as Picture

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from hub.http.middleware import FOR_A_YEAR, FOR_AN_HOUR, NO_STORE, REVALIDATE
from previews.models import Image
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
    "/media/images/{image}/{digest}-128.webp",
    "/api/v1/adapters", "/api/v1/me", "/settings/tokens", "/uploads", "/publish", "/mixer",
    "/", "/browse", "/ada", "/help/use", "/nobody/nothing", "/signin",
]  # fmt: skip

#: Pages and lists on which anonymous users see only public content.
PUBLIC_LISTS = ("/", "/browse", "/ada", "/help/use", "/api/v1/adapters")
RESTORED = "noir"


@pytest.fixture
def noir(ada: User) -> Adapter:
    if there := Adapter.objects.filter(name="noir").first():
        return there
    adapter = adapters.create(actor=ada, name="noir", title="Noir")
    catalogue.release(adapter, lora(), path="noir.safetensors")
    adapter.refresh_from_db()
    return adapter


@pytest.fixture
def place(noir: Adapter) -> Callable[[str], str]:
    """Return a function that fills in the numbers of an address."""
    assert noir.latest_version is not None
    drawn = io.BytesIO()
    Picture.new("RGB", (128, 128)).save(drawn, "PNG")
    blob = blob_of(drawn.getvalue())
    image: Image = render(noir.latest_version, "ready", 1).images.get()
    Image.objects.filter(pk=image.pk).update(blob=blob)
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


def test_nothing_about_a_private_or_unlisted_adapter_is_stored(
    as_ada: Client, noir: Adapter, place: Callable[[str], str], subtests: pytest.Subtests
) -> None:
    for visibility in ["private", "unlisted"]:
        for path in ABOUT_ONE:
            with subtests.test(visibility=visibility, path=path):
                Adapter.objects.filter(pk=noir.pk).update(visibility=visibility)
                for client in (as_ada, Client()):
                    said = kept(client, place(path))
                    is_for_strangers = path in PUBLIC_LISTS and client is not as_ada
                    assert "private" in said
                    assert said == REVALIDATE if is_for_strangers else "no-store" in said, (
                        path,
                        said,
                    )


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
    assert noir.owner == "ada"
    for path in (*PUBLIC_LISTS, "/ada/noir"):
        assert kept(Client(), path) == REVALIDATE


@pytest.mark.parametrize("path", [*PUBLIC_LISTS, "/ada/noir", "/ada/noir?v=v1"])
def test_a_public_page_that_did_not_change_is_not_sent_again(
    as_ada: Client, noir: Adapter, path: str
) -> None:
    first = Client().get(path)
    known = {"If-None-Match": first.headers["ETag"], "Accept-Encoding": "gzip"}
    again = Client().get(path, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert "Content-Length" not in again.headers
    for name in ("ETag", "Cache-Control"):
        assert again.headers[name] == first.headers[name]
    assert "Accept-Encoding" in again.headers["Vary"]
    assert Client().head(path, headers=known).status_code == 304
    # Whoever signs in with the same browser gets a page of their own, which is not stored.
    mine = as_ada.get(path, headers=known)
    assert (mine.status_code, mine.headers["Cache-Control"]) == (200, NO_STORE)
    assert "ETag" not in mine.headers
    if path != "/help/use":
        Adapter.objects.filter(pk=noir.pk).update(title="Night")
        changed = Client().get(path, headers=known)
        assert changed.status_code == 200
        assert "Night" in gzip.decompress(changed.content).decode()
    Adapter.objects.filter(pk=noir.pk).update(visibility="private")
    assert Client().get(path, headers=known).status_code in {200, 404} or path == "/help/use"


def test_public_pictures_are_asked_for_again_within_an_hour(
    noir: Adapter, place: Callable[[str], str]
) -> None:
    unnamed = [
        place(path)
        for path in (
            "/media/images/{image}.png",
            "/media/cards/{version}.png",
            "/media/covers/{version}.svg",
        )
    ]
    named = place("/media/images/{image}/{digest}-128.webp")
    for path in unnamed:
        assert kept(Client(), path) == FOR_AN_HOUR
    assert kept(Client(), named) == FOR_A_YEAR  # the browser; the URL has a digest
    for path in [*unnamed, named]:
        age = re.findall(r"(?:s-maxage|max-age)=(\d+)", kept(Client(), path))[-1]
        assert int(age) <= 3600  # shared caches
    paths = [*unnamed, named]
    for path in paths:  # one copy for everyone
        assert Client().get(path).headers.get("Vary", "Accept-Encoding") == "Accept-Encoding"
    etags = {path: Client().get(path).headers["ETag"] for path in paths}
    Adapter.objects.filter(pk=noir.pk).update(visibility="private")
    for path in paths:
        asked = Client().get(path, headers={"If-None-Match": etags[path]})
        assert (asked.status_code, asked.headers["Cache-Control"]) == (404, NO_STORE)
