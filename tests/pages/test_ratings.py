"""Pictures above the level of a viewer: blurred with a label until somebody asks to see them."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from PIL import Image as Pillow

from previews import cards
from previews.models import Image
from registry.models import Adapter, Maturity
from tests import catalogue
from tests.pages.files import lora
from tests.pages.pictures import render

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import User, Version

pytestmark = pytest.mark.django_db

BLUR = "data:image/webp;base64,UklGRg"
LISTS = ["/", "/browse", "/ada"]
PAGE = "/ada/noir"


@pytest.fixture
def mature(noir: Adapter, v1: Version) -> Version:
    """A mature adapter with rendered pictures."""
    Adapter.objects.filter(pk=noir.pk).update(maturity=Maturity.MATURE)
    render(v1, "ready", 20)
    Image.objects.update(placeholder=BLUR)
    v1.refresh_from_db()
    return v1


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.mark.parametrize("path", LISTS)
def test_lists_show_strangers_a_blur_with_a_label(
    client: Client, mature: Version, path: str
) -> None:
    told = page(client, path)
    assert BLUR in told
    assert "<b>Mature</b>" in told
    assert "/media/images/" not in told


def test_the_page_shows_strangers_a_blur_until_they_ask(client: Client, mature: Version) -> None:
    told = page(client, f"{PAGE}?tab=files")
    assert BLUR in told
    assert "<b>Mature</b>" in told
    assert "/media/images/" not in told
    assert "data-sweep" not in told
    assert 'href="/ada/noir?tab=files&amp;show=mature"' in told
    shown = page(client, f"{PAGE}?show=mature")
    assert "/media/images/" in shown
    assert 'name="show" value="mature"' in shown


def test_the_panel_alone_is_blurred_as_the_page_is(client: Client, mature: Version) -> None:
    part = page(client, f"{PAGE}/previews?v=v1")
    assert BLUR in part
    assert "/media/images/" not in part
    assert 'href="/ada/noir?v=v1&amp;show=mature"' in part
    assert "/media/images/" in page(client, f"{PAGE}/previews?v=v1&show=mature")


def test_pictures_under_way_are_blurred_too(client: Client, mature: Version) -> None:
    render(mature, "running", 3)
    assert "/media/images/" not in page(client, PAGE)


def test_where_there_is_no_picture_nothing_is_blurred(client: Client, mature: Version) -> None:
    render(mature, "waiting", reason="waiting for a worker for SDXL")
    told = page(client, PAGE)
    assert "This hub has no renderer for Stable Diffusion 1" in told
    assert "Show the pictures" not in told
    assert "<dd>Mature</dd>" in told


def test_the_page_without_placeholder_shows_the_drawing(client: Client, mature: Version) -> None:
    Image.objects.update(placeholder="")
    for path in [PAGE, *LISTS]:
        told = page(client, path)
        assert "/media/images/" not in told
        assert f"/media/covers/{mature.pk}.svg" in told


def test_a_comparison_is_blurred(client: Client, noir: Adapter, mature: Version) -> None:
    second = catalogue.release(noir, lora(8))
    images = list(mature.renders.get().images.all())
    row = mature.renders.get()
    row.pk, row.version = None, second
    row.save()
    for image in images:
        image.pk, image.render = None, row
        image.save()
    told = page(client, "/compare?a=ada/noir@v1&b=ada/noir@v2")
    assert "<b>Mature</b>" in told
    assert "/media/images/" not in told
    assert "/media/images/" in page(client, "/compare?a=ada/noir@v1&b=ada/noir@v2&show=mature")


def test_the_owner_sees_the_own_pictures(as_ada: Client, mature: Version) -> None:
    for path in [PAGE, "/browse", "/ada"]:
        told = page(as_ada, path)
        assert "/media/images/" in told
        assert "<b>Mature</b>" in told or path == PAGE


@pytest.mark.parametrize("rating", Maturity)
@pytest.mark.parametrize("level", ["", *Maturity])
def test_pictures_above_the_level_of_the_viewer_are_blurred(
    client: Client, bob: User, mature: Version, rating: Maturity, level: str
) -> None:
    Adapter.objects.update(maturity=rating)
    if level:
        client.force_login(bob)
        assert client.post("/settings/content", {"level": level}).status_code == 302
        assert re.search(rf'value="{level}"\s+checked', page(client, "/settings/content"))
    order = list(Maturity)
    is_shown = order.index(rating) <= order.index(Maturity(level or Maturity.SUGGESTIVE))
    for path in (PAGE, "/browse"):
        told = page(client, path)
        assert ("/media/images/" in told) == is_shown, path
        assert (f"show={rating}" in told) != is_shown, path
        if not is_shown:
            assert f"<b>{rating.label}</b>" in told
            assert "/media/images/" in page(client, f"{path}?show={rating}")


def test_the_setting_is_for_known_levels(client: Client, bob: User) -> None:
    client.force_login(bob)
    assert re.search(r'value="suggestive"\s+checked', page(client, "/settings/content"))
    assert client.post("/settings/content", {"level": "odd"}).status_code == 400
    assert client.post("/settings/content", {}).status_code == 400
    bob.refresh_from_db()
    assert bob.shows_up_to == Maturity.SUGGESTIVE


def test_the_address_asks_up_to_a_level(client: Client, mature: Version) -> None:
    Adapter.objects.update(maturity=Maturity.EXPLICIT)
    for asked in ("mature", "odd", ""):
        assert "/media/images/" not in page(client, f"{PAGE}?show={asked}")
    assert "/media/images/" in page(client, f"{PAGE}?show=explicit")


def test_a_picture_has_a_rating_of_its_own(client: Client, mature: Version) -> None:
    Adapter.objects.update(maturity=Maturity.GENERAL)
    cover = Image.objects.get(strength=1, prompt_index=0, seed=1)
    Image.objects.filter(pk=cover.pk).update(maturity=Maturity.EXPLICIT)
    for path in [PAGE, *LISTS]:
        told = page(client, path)
        assert f"/media/images/{cover.pk}." not in told, path
        assert "show=explicit" in told
    assert "strip hefty" not in page(client, "/")
    assert '<meta name="rating" content="adult">' in page(client, PAGE)
    assert cover.pk not in [one.id for one in cards.of(mature).pictures]
    assert cards.of(mature).pictures != ()
    Adapter.objects.update(maturity=Maturity.MATURE)
    Image.objects.update(maturity=Maturity.GENERAL)
    for path in [PAGE, *LISTS]:
        told = page(client, path)
        assert "/media/images/" in told
        assert "Mature" in told


def test_one_picture_of_a_list_is_revealed_where_it_is(client: Client, mature: Version) -> None:
    told = page(client, "/browse?kind=style")
    assert 'data-cover="ada/noir"' in told
    assert 'data-hx-get="/browse?kind=style&amp;show=mature"' in told
    assert "data-hx-select=\"[data-cover='ada/noir']\"" in told
    answer = client.get("/browse?kind=style&show=mature", headers={"HX-Request": "true"})
    assert "/media/images/" in answer.content.decode()
    assert "HX-Push-Url" not in answer.headers


def test_the_previews_are_revealed_where_they_are(client: Client, mature: Version) -> None:
    address = "/ada/noir/previews?v=v1&amp;show=mature"
    assert f'data-hx-get="{address}"' in page(client, PAGE)


def test_strangers_have_no_choice_to_keep(client: Client) -> None:
    assert client.get("/settings/content").headers["Location"].startswith("/signin")


def test_other_ratings_are_shown(client: Client, mature: Version) -> None:
    Adapter.objects.update(maturity=Maturity.SUGGESTIVE)
    told = page(client, PAGE)
    assert "/media/images/" in told
    assert "Mature" not in told


def test_the_link_card_shows_no_picture(client: Client, mature: Version) -> None:
    card = cards.of(mature)
    assert card.pictures == ()
    assert card.facts.endswith("mature")
    data = client.get(f"/media/cards/{mature.pk}.png").content
    assert Pillow.open(io.BytesIO(data)).size == (1200, 630)
    told = page(client, PAGE)
    assert '<meta name="rating" content="adult">' in told
    Adapter.objects.update(maturity=Maturity.GENERAL)
    mature.refresh_from_db()
    mature.adapter.refresh_from_db()
    assert cards.of(mature).pictures != ()
    assert cards.of(mature).etag != card.etag


def test_the_door_shows_nothing_of_it(client: Client, mature: Version) -> None:
    told = page(client, "/signin")
    assert BLUR not in told
    assert "/media/images/" not in told


def test_the_first_page_leads_with_what_suits_everybody(client: Client, mature: Version) -> None:
    told = page(client, "/")
    assert "strip hefty" not in told
    Adapter.objects.update(maturity=Maturity.GENERAL)
    assert "strip hefty" in page(client, "/")


def test_owners_choose_among_four_levels_that_are_explained(as_ada: Client, noir: Adapter) -> None:
    told = page(as_ada, f"{PAGE}/edit")
    for level in Maturity:
        assert f'value="{level}"' in told
        assert f"{level.label}: " in told
    said = {"kind": "style", "maturity": "explicit", "visibility": "public"}
    assert as_ada.post(f"{PAGE}/edit", said).status_code == 302
    noir.refresh_from_db()
    assert noir.maturity == Maturity.EXPLICIT
    assert "<dd>Explicit</dd>" in page(as_ada, PAGE)


def test_the_owner_rates_a_rendered_picture_on_the_page(as_ada: Client, v1: Version) -> None:
    images = {one.strength: one for one in render(v1, "ready", 5).images.all()}
    place, picture = f"{PAGE}/rating", images[0.5]
    assert f'name="image" value="{picture.pk}"' in page(as_ada, f"{PAGE}?at=2")
    sent = {"image": picture.pk, "maturity": "explicit", "v": "v1", "prompt": "0", "at": "2"}
    assert as_ada.post(place, sent).headers["Location"] == f"{PAGE}?v=v1&prompt=0&at=2"
    picture.refresh_from_db()
    assert picture.maturity == "explicit"
    told = page(as_ada, f"{PAGE}?at=2")
    assert '<option value="explicit" selected>' in told
    assert '<p class="note success">The content rating is saved.' in told
    answer = as_ada.post(place, sent | {"maturity": ""}, headers={"HX-Request": "true"})
    assert answer.headers["Location"] == f"{PAGE}/previews?v=v1&prompt=0&at=2&rated=yes"
    assert "The content rating is saved." in page(as_ada, answer.headers["Location"])
    picture.refresh_from_db()
    assert picture.maturity == ""


def test_an_administrator_rates_rendered_pictures_of_others(
    client: Client, bob: User, v1: Version
) -> None:
    picture = render(v1, "ready", 5).images.exclude(strength=0).first()
    assert picture is not None
    client.force_login(bob)
    sent = {"image": picture.pk, "maturity": "mature", "v": "v1"}
    assert client.post(f"{PAGE}/rating", sent).status_code == 403
    bob.is_staff = True
    bob.save()
    told = page(client, PAGE)
    assert "Content rating of this picture" in told
    assert "Use this picture as cover" not in told
    assert client.post(f"{PAGE}/rating", sent).headers["Location"] == f"{PAGE}?v=v1"
    picture.refresh_from_db()
    assert picture.maturity == "mature"


@pytest.mark.parametrize("sent", [{"image": "x"}, {"maturity": "odd"}, {"image": 2**70}, {}])
def test_a_rating_that_is_none_is_refused_on_a_page(
    as_ada: Client, v1: Version, sent: dict[str, str]
) -> None:
    render(v1, "ready", 5)
    picture = Image.objects.exclude(strength=0).first()
    assert picture is not None
    known = {"image": picture.pk} if "maturity" in sent else {}
    assert as_ada.post(f"{PAGE}/rating", known | sent).status_code == 400
    assert not Image.objects.exclude(maturity="").exists()


def test_visitors_are_not_offered_a_rating(client: Client, v1: Version) -> None:
    render(v1, "ready", 5)
    assert "Content rating of this picture" not in page(client, PAGE)
    assert "data-rating" not in page(client, PAGE)
