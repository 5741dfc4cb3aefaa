"""Pictures: who may see them and who may keep them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from hub.http.middleware import FOR_AN_HOUR
from previews.models import Image, Recipe, Render
from registry import storage
from registry.cards import services as cards
from registry.models import Adapter, Blob, Version
from registry.tokens import services as tokens
from tests import catalogue
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


@pytest.fixture
def picture(v1: Version) -> Image:
    blob = blob_of(PNG)
    v1.renders.all().delete()
    recipe = Recipe.objects.create(digest="0" * 64, document={})
    render = Render.objects.create(version=v1, recipe=recipe, state="ready")
    return Image.objects.create(
        render=render, blob=blob, position=0, prompt_index=0, prompt="a cat", seed=1,
        strength=1.0, width=128, height=128,
    )  # fmt: skip


def addresses(picture: Image) -> tuple[str, str]:
    return f"/media/images/{picture.pk}.png", f"/media/covers/{picture.render.version_id}.svg"


@pytest.mark.usefixtures("either_store")
def test_a_public_picture_may_be_kept_by_everyone(client: Client, picture: Image) -> None:
    answer = client.get(f"/media/images/{picture.pk}.png")
    assert b"".join(answer.streaming_content) == PNG  # type: ignore[attr-defined]  # it streams
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["ETag"] == f'"{hashlib.sha256(PNG).hexdigest()}"'
    assert answer.headers["Cache-Control"] == FOR_AN_HOUR
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_part_of_a_picture_is_sent(client: Client, picture: Image) -> None:
    address = f"/media/images/{picture.pk}.png"
    answer = client.get(address, headers={"Range": "bytes=0-3"})
    assert (answer.status_code, answer.headers["Content-Length"]) == (206, "4")
    assert b"".join(answer.streaming_content) == PNG[:4]  # type: ignore[attr-defined]  # it streams
    assert answer.headers["Content-Type"] == "image/png"
    assert client.get(address, headers={"Range": "bytes=99-"}).status_code == 416


def test_nginx_sends_pictures_as_the_hub_would(
    client: Client, ada: User, noir: Adapter, picture: Image, own_settings: Callable[..., None]
) -> None:
    address = f"/media/images/{picture.pk}.png"
    sent = client.get(address)
    assert sent.headers["Content-Disposition"] == "inline"
    own_settings(accel="/blobs/")
    digest = picture.blob.sha256
    handed = client.get(address)
    assert handed.headers["X-Accel-Redirect"] == f"/blobs/{digest[:2]}/{digest[2:4]}/{digest}"
    for name in ("Content-Type", "Content-Disposition", "Cache-Control", "ETag"):
        assert handed.headers[name] == sent.headers[name]
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    assert "X-Accel-Redirect" not in client.get(address).headers
    client.force_login(ada)
    private = client.get(address)
    assert "X-Accel-Redirect" in private.headers
    assert private.headers["Cache-Control"] == "private, no-store"


def test_a_picture_whose_bytes_were_deleted_is_gone(client: Client, picture: Image) -> None:
    Blob.objects.filter(pk=picture.blob_id).update(is_stored=False)
    answer = client.get(f"/media/images/{picture.pk}.png")
    assert answer.status_code == 410
    assert "The bytes of this picture were removed." in answer.text
    assert client.get(f"/media/images/{2**70}.png").status_code == 404


def test_what_is_known_is_not_sent_again(client: Client, picture: Image) -> None:
    headers = {"If-None-Match": f'"{picture.blob.sha256}"'}
    answer = client.get(f"/media/images/{picture.pk}.png", headers=headers)
    assert answer.status_code == 304


def test_a_private_picture_is_absent_to_strangers_and_kept_by_nobody(
    client: Client, ada: User, noir: Adapter, picture: Image
) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    address = f"/media/images/{picture.pk}.png"
    assert client.get(address).status_code == 404
    headers = {"If-None-Match": f'"{picture.blob.sha256}"'}
    assert client.get(address, headers=headers).status_code == 404
    client.force_login(ada)
    assert client.get(address).headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    "hidden",
    [{"visibility": "unlisted"}, {"visibility": "private"}, {"blocked_reason": "Rights"}],
)
def test_no_copy_is_kept_of_what_not_everyone_may_find(
    client: Client, ada: User, noir: Adapter, picture: Image, hidden: dict[str, str]
) -> None:
    Adapter.objects.filter(pk=noir.pk).update(**hidden)
    client.force_login(ada)
    for address in addresses(picture):
        answer = client.get(address)
        assert answer.headers["Cache-Control"] == "private, no-store"
        again = client.get(address, headers={"If-None-Match": answer.headers["ETag"]})
        # A shared cache that has it from before would take 304 for permission to show it.
        assert (again.status_code, again.headers["Cache-Control"]) == (200, "private, no-store")


def test_pictures_of_a_draft_are_its_owners_alone(
    client: Client, ada: User, picture: Image
) -> None:
    catalogue.put(Version.objects.filter(renders=picture.render), "draft")
    for address in addresses(picture):
        assert client.get(address).status_code == 404
    client.force_login(ada)
    for address in addresses(picture):
        assert client.get(address).headers["Cache-Control"] == "private, no-store"


def test_a_withdrawn_versions_pictures_are_gone(client: Client, ada: User, picture: Image) -> None:
    catalogue.put(Version.objects.filter(renders=picture.render), "withdrawn")
    for viewer in (None, ada):
        if viewer is not None:
            client.force_login(viewer)
        for address in addresses(picture):
            answer = client.get(address)
            assert (answer.status_code, "withdrawn" in answer.content.decode()) == (410, True)


def test_a_yanked_versions_pictures_may_be_kept(client: Client, picture: Image) -> None:
    Version.objects.filter(renders=picture.render).update(state="yanked")
    for address in addresses(picture):
        assert client.get(address).headers["Cache-Control"] == FOR_AN_HOUR


def test_a_list_of_known_copies_is_understood(client: Client, picture: Image) -> None:
    headers = {"If-None-Match": f'"other", W/"{picture.blob.sha256}"'}
    assert client.get(f"/media/images/{picture.pk}.png", headers=headers).status_code == 304


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_picture_whose_bytes_are_away_is_gone(
    client: Client, picture: Image, *, is_stored: bool
) -> None:
    storage.store().delete(picture.blob.sha256)
    Blob.objects.filter(pk=picture.blob.pk).update(is_stored=is_stored)
    answer = client.get(f"/media/images/{picture.pk}.png")
    assert answer.status_code == 410
    assert "The bytes of this picture were removed." in answer.content.decode()


def test_a_token_opens_private_pictures(
    client: Client, ada: User, bob: User, noir: Adapter, picture: Image
) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    _token, own = tokens.issue(actor=ada, name="reads", scopes=["read"])
    _token, others = tokens.issue(actor=bob, name="reads", scopes=["read"])
    for address in addresses(picture):
        answer = client.get(address, headers={"Authorization": f"Bearer {own}"})
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert client.get(address, headers={"Authorization": f"bearer {others}"}).status_code == 404


def test_a_token_that_may_not_read_opens_nothing(client: Client, ada: User, picture: Image) -> None:
    _token, writes = tokens.issue(actor=ada, name="writes", scopes=["write"])
    for secret, status in ((writes, 403), ("lor_nonsense", 401), ("", 401)):
        headers = {"Authorization": f"Bearer {secret}"}
        answer = client.get(f"/media/images/{picture.pk}.png", headers=headers)
        assert answer.status_code == status
        assert ("WWW-Authenticate" in answer.headers) is (status == 401)


def test_an_unknown_picture_is_absent(client: Client, db: None) -> None:
    assert client.get("/media/images/999.png").status_code == 404
    assert client.get("/media/covers/999.svg").status_code == 404


def test_every_version_has_a_cover(client: Client, ada: User, noir: Adapter, v1: Version) -> None:
    answer = client.get(f"/media/covers/{v1.pk}.svg")
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.content.lstrip().startswith(b"<svg")
    assert b"<script" not in answer.content
    again = client.get(
        f"/media/covers/{v1.pk}.svg", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304
    cards.edit_adapter(actor=ada, adapter=noir, visibility="private")
    assert client.get(f"/media/covers/{v1.pk}.svg").status_code == 404
