"""Which answers are compressed."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from django.test import Client

from registry.adapters import services as adapters
from registry.models import Adapter
from tests import catalogue
from tests.pages.files import lora

if TYPE_CHECKING:
    from registry.models import User

pytestmark = pytest.mark.django_db
GZIP = {"Accept-Encoding": "gzip, deflate, br, zstd"}
RESTORED = "noir"


@pytest.fixture
def noir(ada: User) -> Adapter:
    if there := Adapter.objects.filter(name="noir").first():
        return there
    adapter = adapters.create(actor=ada, name="noir", title="Noir")
    catalogue.release(adapter, lora(), path="noir.safetensors")
    adapter.refresh_from_db()
    return adapter


def test_pages_documents_and_drawings_are_compressed(client: Client, noir: Adapter) -> None:
    for path in (
        "/browse", "/ada/noir", "/api/v1/adapters", "/api/v1/adapters/ada/noir",
        "/api/models/ada/noir", f"/media/covers/{noir.latest_version_id}.svg",
    ):  # fmt: skip
        plain = client.get(path)
        assert "Content-Encoding" not in plain.headers
        packed = client.get(path, headers=GZIP)
        assert packed.headers["Content-Encoding"] == "gzip", path
        for response in (plain, packed):
            assert "Accept-Encoding" in response.headers["Vary"]
        assert len(packed.content) < len(plain.content)
        assert packed.headers["Content-Length"] == str(len(packed.content))
        assert gzip.decompress(packed.content) == plain.content


def test_error_pages_are_compressed_and_short_answers_are_not(client: Client) -> None:
    assert client.get("/x", headers=GZIP).headers["Content-Encoding"] == "gzip"
    short = client.get("/api/v1/adapters/ada/absent", headers=GZIP)
    assert len(short.content) < 200
    assert "Content-Encoding" not in short.headers


def test_files_and_pictures_are_sent_as_they_are(client: Client, noir: Adapter) -> None:
    for path in (
        "/api/v1/adapters/ada/noir/versions/v1/files/noir.safetensors",
        "/ada/noir/resolve/main/noir.safetensors",
        f"/media/cards/{noir.latest_version_id}.png",
    ):
        response = client.get(path, headers=GZIP)
        assert response.status_code == 200
        assert "Content-Encoding" not in response.headers, path
        assert "Accept-Encoding" not in response.headers.get("Vary", "")
        assert response.headers["ETag"].startswith('"')
        part = client.get(path, headers={**GZIP, "Range": "bytes=0-9"})
        assert "Content-Encoding" not in part.headers


def test_a_compressed_drawing_is_known_by_its_weak_etag(client: Client, noir: Adapter) -> None:
    path = f"/media/covers/{noir.latest_version_id}.svg"
    first = client.get(path, headers=GZIP)
    assert first.headers["ETag"].startswith('W/"')
    again = client.get(path, headers={**GZIP, "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("ETag", "Cache-Control", "Vary"):
        assert again.headers[name] == first.headers[name]
    assert "Content-Encoding" not in again.headers


def test_head_is_answered_like_get_without_a_body(client: Client, noir: Adapter) -> None:
    response = client.head("/ada/noir", headers=GZIP)
    assert response.content == b""
    assert response.headers["Content-Encoding"] == "gzip"
    packed = len(client.get("/ada/noir", headers=GZIP).content)
    assert abs(int(response.headers["Content-Length"]) - packed) < 200  # padded at random


def test_equal_pages_differ_in_length_so_that_it_reveals_no_secret(client: Client) -> None:
    assert len({len(client.get("/signin", headers=GZIP).content) for _ in range(12)}) > 2
