"""What a page shows of itself where somebody shares its address."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image as Pillow

from hub.http.middleware import FOR_AN_HOUR
from previews import cards
from previews.covers import services as covers
from previews.derived import card as drawing
from previews.derived.text_layout import Bar, Caption
from previews.fonts import fonts
from previews.models import Image
from registry import storage
from registry.models import Adapter, Version
from registry.versions import services as versions
from tests import catalogue
from tests.pages.files import lora
from tests.pages.pictures import render, sample_of
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import User

pytestmark = pytest.mark.django_db

COLOURS = ("#ff0000", "#ffff00", "#00ff00", "#00ffff", "#0000ff")


def png(colour: str) -> bytes:
    stream = io.BytesIO()
    Pillow.new("RGB", (64, 48), colour).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def pictures(v1: Version) -> None:
    """Five strengths in five colours."""
    for image in render(v1, "ready", 5).images.order_by("strength"):
        image.blob = blob_of(png(COLOURS[round(image.strength * 4)]))
        image.save()


def path_of(version: Version) -> str:
    return f"/media/cards/{version.pk}.png"


def colours(data: bytes, y: int = 450) -> list[str]:
    """The pure colours of a card from left to right at a height."""
    with Pillow.open(io.BytesIO(data)) as picture:
        assert (picture.size, picture.mode) == (drawing.SIZE, "RGB")
        row = [picture.getpixel((x, y)) for x in range(picture.width)]
    seen = ["#" + bytes(pixel).hex() for pixel in row if isinstance(pixel, tuple)]
    return [colour for colour in dict.fromkeys(seen) if colour in COLOURS]


@pytest.mark.usefixtures("pictures")
def test_a_card_shows_the_control_first_and_the_full_strength_last(
    client: Client, v1: Version
) -> None:
    answer = client.get(path_of(v1))
    assert answer.headers["Content-Type"] == "image/png"
    shown = colours(answer.content)
    assert (shown[0], shown[-1], len(shown)) == (COLOURS[0], COLOURS[-1], 4)


def test_without_pictures_it_shows_the_cover(client: Client, v1: Version) -> None:
    data = client.get(path_of(v1)).content
    assert colours(data) == []
    with Pillow.open(io.BytesIO(data)) as picture:
        assert picture.getpixel((640, 70)) == (0xFD, 0xFC, 0xF8)


@pytest.mark.usefixtures("pictures")
def test_a_chosen_cover_replaces_the_strip_only_if_it_can_be_shown(
    ada: User, noir: Adapter, v1: Version
) -> None:
    v2 = catalogue.release(noir, lora(rank=8))
    sample = sample_of(v2)
    covers.choose(actor=ada, adapter=noir, sample=sample.pk)
    card = cards.of(v1)
    assert (card.pictures, card.cover and card.cover.id) == ((), sample.pk)
    versions.yank(actor=ada, version=v2, reason="Broken")
    card = cards.of(v1)
    assert (len(card.pictures), card.cover) == (4, None)


@pytest.mark.usefixtures("pictures")
def test_pictures_that_are_away_are_left_out(client: Client, v1: Version) -> None:
    for image in Image.objects.select_related("blob"):
        storage.store().delete(image.blob.sha256)
    assert colours(client.get(path_of(v1)).content) == []


def test_what_is_known_is_not_drawn_again(
    client: Client, ada: User, v1: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = client.get(path_of(v1))
    assert answer.headers["Cache-Control"] == FOR_AN_HOUR
    monkeypatch.setattr(drawing, "png", None)
    headers = {"If-None-Match": answer.headers["ETag"]}
    assert client.get(path_of(v1), headers=headers).status_code == 304


def test_another_title_is_another_card(client: Client, noir: Adapter, v1: Version) -> None:
    first = client.get(path_of(v1))
    Adapter.objects.filter(pk=noir.pk).update(title="Blanc")
    second = client.get(path_of(v1))
    assert first.headers["ETag"] != second.headers["ETag"]
    assert first.content != second.content


def test_the_same_card_is_the_same_bytes(v1: Version) -> None:
    first, second = (hashlib.sha256(cards.of(v1).png()).digest() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("state", ["running", "failed"])
def test_half_a_sweep_is_not_shown(v1: Version, state: str) -> None:
    render(v1, state, 6, reason="No." if state == "failed" else "")
    assert cards.of(v1).pictures == ()


@pytest.mark.parametrize("title", ["", "x", "x" * 120, "word " * 24, "猫 <b>&\u202e\u0000 🐈"])
def test_odd_titles_are_drawn(title: str) -> None:
    shapes = (Caption(9, 9, title), Bar(1, 1, 2, 0), Bar(9, 9, 9, 9, is_strong=True))
    frame = drawing.Frame(Pillow.new("RGB", (1, 900)), title)
    for card in (
        drawing.Card(title, title, shapes=shapes),
        drawing.Card(title, title, title, frames=(frame,) * 9),
    ):
        with Pillow.open(io.BytesIO(drawing.png(card, fonts()))) as picture:
            assert picture.size == (1200, 630)


def test_a_hidden_card_is_absent_to_strangers(
    client: Client, ada: User, bob: User, noir: Adapter, v1: Version
) -> None:
    Adapter.objects.filter(pk=noir.pk).update(visibility="private")
    client.force_login(bob)
    assert client.get(path_of(v1)).status_code == 404
    client.force_login(ada)
    assert client.get(path_of(v1)).headers["Cache-Control"] == "private, no-store"
    assert client.get("/media/cards/999.png").status_code == 404


# --- The page's head ----------------------------------------------------------------------------


def test_a_public_page_says_how_to_show_it(client: Client, v1: Version) -> None:
    page = client.get("/ada/noir?v=v1&tab=files").content.decode()
    for line in (
        '<link rel="canonical" href="http://testserver/ada/noir">',
        '<meta property="og:title" content="Noir">',
        '<meta property="og:description" content="Hard shadows.">',
        f'<meta property="og:image" content="http://testserver{path_of(v1)}">',
        '<meta property="og:url" content="http://testserver/ada/noir">',
        '<meta name="twitter:card" content="summary_large_image">',
    ):
        assert line in page


def test_the_hubs_own_address_is_named(
    client: Client, v1: Version, own_settings: Callable[..., None]
) -> None:
    own_settings(base_url="https://hub.example")
    page = client.get("/ada/noir").content.decode()
    assert f'content="https://hub.example{path_of(v1)}"' in page


def test_titles_do_not_break_out_of_the_head(client: Client, noir: Adapter) -> None:
    Adapter.objects.filter(pk=noir.pk).update(title='"><script>alert(1)</script>')
    assert "<script>alert" not in client.get("/ada/noir").content.decode()


@pytest.mark.parametrize(
    "hidden",
    [{"visibility": "unlisted"}, {"visibility": "private"}, {"blocked_reason": "Rights"}],
)
def test_a_hidden_page_says_nothing_of_itself(
    client: Client, ada: User, noir: Adapter, hidden: dict[str, str]
) -> None:
    Adapter.objects.filter(pk=noir.pk).update(**hidden)
    client.force_login(ada)
    page = client.get("/ada/noir").content.decode()
    assert "og:" not in page
    assert "canonical" not in page


def test_a_draft_says_nothing_of_itself(client: Client, ada: User, v1: Version) -> None:
    catalogue.put(Version.objects.all(), "draft")
    client.force_login(ada)
    assert "og:" not in client.get("/ada/noir?v=v1").content.decode()
