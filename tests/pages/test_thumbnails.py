"""Thumbnails: who may see them, how long they are kept, how pages name them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from django.template import Context, Template
from PIL import Image as PillowImage

from hub.http.middleware import FOR_A_YEAR, FOR_AN_HOUR
from hub.pages.catalogue.cards import Drawn
from previews.models import Image, Sheet
from previews.pictures import thumbnails
from previews.pictures.selectors import Picture, Source, pictures_of
from registry import storage
from registry.models import Adapter, Blob, Version
from tests import catalogue
from tests.pages.pictures import render
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import User

pytestmark = pytest.mark.django_db

BLUR = "data:image/webp;base64,AAAA"


@pytest.fixture
def blob(own_settings: Callable[..., None], tmp_path: Path) -> Blob:
    """A PNG of 300 pixels; the machine has no thumbnails yet."""
    own_settings(data=tmp_path)
    drawn = io.BytesIO()
    PillowImage.linear_gradient("L").resize((300, 200)).save(drawn, "PNG")
    return blob_of(drawn.getvalue())


@pytest.fixture
def image(v1: Version, blob: Blob) -> Image:
    """The last of five pictures, which all have these bytes."""
    image = render(v1, "ready", 5).images.latest("position")
    Image.objects.update(placeholder=BLUR, blob=blob, width=300, height=200)
    image.refresh_from_db()
    return image


def address(image: Image, width: int = 256, kind: str = "webp", digest: str = "") -> str:
    return f"/media/images/{image.pk}/{(digest or image.blob.sha256)[:12]}-{width}.{kind}"


def test_browsers_keep_a_public_thumbnail_and_shared_caches_ask_again_after_an_hour(
    client: Client, image: Image
) -> None:
    for kind in ("webp", "avif"):
        answer = client.get(address(image, kind=kind))
        body = b"".join(answer.streaming_content)  # type: ignore[attr-defined]  # it streams
        with PillowImage.open(io.BytesIO(body)) as picture:
            assert (picture.format, picture.size) == (kind.upper(), (256, 171))
        assert answer.headers["Content-Type"] == f"image/{kind}"
        assert answer.headers["Cache-Control"] == FOR_A_YEAR
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        known = {"If-None-Match": answer.headers["ETag"]}
        again = client.get(address(image, kind=kind), headers=known)
        assert (again.status_code, again.headers["Cache-Control"]) == (304, FOR_A_YEAR)


def test_where_none_can_be_made_now_the_picture_is_sent(
    client: Client, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise thumbnails.Busy

    monkeypatch.setattr(thumbnails, "open_thumbnail", busy)
    answer = client.get(address(image))
    assert (answer.status_code, answer.headers["Location"]) == (
        302,
        f"/media/images/{image.pk}.png",
    )
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_a_public_form_is_the_same_for_everyone_and_cheap(
    client: Client, bob: User, image: Image, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(bob)
    path = address(image)
    with django_assert_num_queries(1):
        answer = client.get(path)
    assert "Cookie" not in answer.headers.get("Vary", "")
    Adapter.objects.update(visibility="unlisted")
    assert "Cookie" in client.get(address(image)).headers["Vary"]


@pytest.mark.parametrize(
    "hidden",
    [{"visibility": "unlisted"}, {"visibility": "private"}, {"blocked_reason": "Rights"}],
)
def test_a_hidden_form_is_kept_by_nobody(
    client: Client, ada: User, bob: User, noir: Adapter, image: Image, hidden: dict[str, str]
) -> None:
    Adapter.objects.filter(pk=noir.pk).update(**hidden)
    client.force_login(bob)
    is_linked = hidden.get("visibility") == "unlisted"
    assert client.get(address(image)).status_code == (200 if is_linked else 404)
    client.force_login(ada)
    assert client.get(address(image)).headers["Cache-Control"] == "private, no-store"


def test_forms_of_a_draft_are_its_owners_alone(client: Client, ada: User, image: Image) -> None:
    catalogue.put(Version.objects.all(), "draft")
    assert client.get(address(image)).status_code == 404
    client.force_login(ada)
    assert client.get(address(image)).headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "0" * 12}, {"digest": "1" * 11}, {"digest": "%"}, {"width": 1024},
        {"width": 10**30}, {"kind": "png"}, {"kind": "gif"}, {"kind": "webp%00"},
    ],
)  # fmt: skip
def test_other_addresses_are_absent(client: Client, image: Image, change: dict[str, Any]) -> None:
    there = {"width": 256, "kind": "webp", "digest": image.blob.sha256[:12]} | change
    path = f"/media/images/{image.pk}/{there['digest']}-{there['width']}.{there['kind']}"
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["999/abcabcabcabc-256.webp", "999.webp", f"{10**30}.webp"])
def test_forms_of_no_picture_are_absent(client: Client, db: None, path: str) -> None:
    assert client.get(f"/media/images/{path}").status_code == 404


def test_bytes_that_are_away_are_gone(client: Client, image: Image) -> None:
    storage.store().delete(image.blob.sha256)
    assert client.get(address(image)).status_code == 410
    Blob.objects.filter(pk=image.blob_id).update(is_stored=False)
    assert client.get(address(image)).status_code == 410


def test_a_video_moves_at_an_address_of_its_own(
    client: Client, ada: User, noir: Adapter, image: Image
) -> None:
    path = f"/media/images/{image.pk}.webp"
    assert client.get(path).status_code == 404
    Image.objects.filter(pk=image.pk).update(animation=image.blob, media_type="image/webp")
    answer = client.get(path)
    assert b"".join(answer.streaming_content)[:4] == b"\x89PNG"  # type: ignore[attr-defined]  # it streams
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["Cache-Control"] == FOR_AN_HOUR
    Adapter.objects.filter(pk=noir.pk).update(visibility="private")
    assert client.get(path).status_code == 404


def test_pages_name_every_form(client: Client, noir: Adapter, image: Image) -> None:
    for path in ("/", "/browse", "/ada/noir"):
        page = client.get(path).content.decode()
        srcset = f'srcset="{address(image)} 256w, {address(image, 300)} 300w"'
        assert f'<source type="image/webp" {srcset} sizes="' in page
        assert f'<source type="image/avif" srcset="{address(image, kind="avif")} 256w, ' in page
        assert page.index(address(image, kind="avif")) < page.index(address(image))
        assert f'<img class="blur" src="{BLUR}" alt=""' in page
        assert page.count('fetchpriority="high"') == 1


def test_pages_ask_no_more_than_before(
    client: Client, image: Image, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    images = image.render.images.all()
    with django_assert_max_num_queries(1):
        [*pictures] = pictures_of(images)
    assert [len(one.sources) for one in pictures] == [4] * 5


def said(**options: Any) -> str:
    words = " ".join(f"{name}={value}" for name, value in options.items())
    page = Template('{% load pictures %}{% picture shown alt=alt sizes="9rem" ' + words + " %}")
    sources = (Source("webp", 256, "/a-256.webp"), Source("webp", 512, "/a-512.webp"))
    shown = Picture(7, "p", 1, 1.0, 640, 480, BLUR, "/media/images/7.webp", sources)
    return " ".join(page.render(Context({"shown": shown, "alt": '"><script>'})).split())


def test_a_picture_reserves_its_room_and_waits_for_its_turn() -> None:
    html = said()
    assert 'width="640" height="480"' in html
    assert 'loading="lazy"' in html
    assert "fetchpriority" not in html
    assert "<script" not in html
    assert "7.webp" not in html
    assert 'loading="lazy"' not in said(when='"now"')


def test_what_moves_stands_still_for_those_who_want_that() -> None:
    html = said(is_moving=True)
    first = html.index('media="(prefers-reduced-motion: no-preference)"')
    assert first < html.index("/a-256.webp")
    assert 'srcset="/media/images/7.webp"' in html


def test_a_drawing_is_a_picture_without_forms() -> None:
    page = Template('{% load pictures %}{% picture shown alt="" sizes="9rem" %}')
    html = " ".join(page.render(Context({"shown": Drawn("/static/blank.svg")})).split())
    assert "<source" not in html
    assert "blur" not in html
    assert 'src="/static/blank.svg" width="640" height="400"' in html


# --- Contact sheets ------------------------------------------------------------------------------


@pytest.fixture
def sheet(image: Image) -> Sheet:
    return Sheet.objects.create(render=image.render, kind="png", blob=image.blob)


def test_sheets_are_pictures_to_see(client: Client, sheet: Sheet) -> None:
    answer = client.get(f"/media/sheets/{sheet.render_id}.png")
    assert b"".join(answer.streaming_content)[:4] == b"\x89PNG"  # type: ignore[attr-defined]  # it streams
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"] == 'inline; filename="noir-v1.png"'
    assert answer.headers["Cache-Control"] == FOR_AN_HOUR
    assert answer.headers["ETag"] == f'"{sheet.blob.sha256}"'


def test_the_page_links_to_its_sheet(client: Client, ada: User, sheet: Sheet) -> None:
    page = client.get("/ada/noir").content.decode()
    assert f'<a href="/media/sheets/{sheet.render_id}.png">Contact sheet</a>' in page
    sheet.render.sheets.all().delete()
    assert "/media/sheets/" not in client.get("/ada/noir").content.decode()


def test_a_pdf_of_an_older_hub_is_ignored(client: Client, sheet: Sheet) -> None:
    pdf = Sheet.objects.create(render=sheet.render, kind="pdf", blob=sheet.blob)
    assert client.get(f"/media/sheets/{pdf.render_id}.pdf").status_code == 404
    page = client.get("/ada/noir").content.decode()
    assert f"/media/sheets/{sheet.render_id}.png" in page
    assert ".pdf" not in page
    sheet.delete()
    assert "/media/sheets/" not in client.get("/ada/noir").content.decode()
    assert client.get(f"/media/sheets/{pdf.render_id}.png").status_code == 404


@pytest.mark.parametrize("path", ["999.png", "{}.card", "{}.pdf", "{}.svg", "{}.png%00"])
def test_other_sheets_are_absent(client: Client, sheet: Sheet, path: str) -> None:
    assert client.get(f"/media/sheets/{path.format(sheet.render_id)}").status_code == 404


def test_private_sheets_are_absent_to_strangers(
    client: Client, ada: User, bob: User, noir: Adapter, sheet: Sheet
) -> None:
    Adapter.objects.filter(pk=noir.pk).update(visibility="private")
    path = f"/media/sheets/{sheet.render_id}.png"
    for stranger in (None, bob):
        if stranger is not None:
            client.force_login(stranger)
        assert client.get(path).status_code == 404
    client.force_login(ada)
    assert client.get(path).headers["Cache-Control"] == "private, no-store"
