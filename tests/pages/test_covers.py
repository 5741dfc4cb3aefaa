"""Covers on pages: uploaded pictures where nothing is rendered, and the owner's choice."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image as Pillow

from previews.covers.selectors import covers_of
from previews.models import Cover
from registry.models import Adapter
from registry.versions import services as versions
from tests.pages.pictures import render, sample_of
from tests.stored import blob_of

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Version

pytestmark = pytest.mark.django_db

PLACE = "/ada/noir/cover"
BLUR = "data:image/webp;base64,UklGRg"
UPLOADED = "uploaded by the author, not rendered here"


def shown(client: Client, place: str = "/ada/noir") -> str:
    answer = client.get(place)
    assert answer.status_code == 200
    return answer.content.decode()


def cover_id(adapter: Adapter) -> int | None:
    found = covers_of([adapter])[adapter.pk]
    return found.id if found else None


def test_lists_and_pages_show_an_upload_where_nothing_is_rendered(
    client: Client, v1: Version
) -> None:
    sample = sample_of(v1)
    assert f'src="/media/samples/{sample.pk}.webp"' in shown(client, "/browse")
    assert f'src="/media/samples/{sample.pk}.webp"' in shown(client, "/ada")
    panel = shown(client, "/ada/noir/previews")
    assert UPLOADED in panel
    assert "/media/covers/" not in panel
    render(v1, "ready", 5)
    assert UPLOADED not in shown(client, "/ada/noir/previews")


def test_uploads_of_mature_adapters_are_blurred(client: Client, v1: Version) -> None:
    sample = sample_of(v1)
    Adapter.objects.update(maturity="mature")
    panel = shown(client, "/ada/noir/previews")
    assert "/media/samples/" not in panel
    assert "/media/covers/" in panel  # it has no placeholder
    sample.placeholder = BLUR
    sample.save()
    panel = shown(client, "/ada/noir/previews")
    assert BLUR in panel
    assert "/media/covers/" not in panel
    assert UPLOADED in shown(client, "/ada/noir/previews?show=mature")


def test_a_chosen_cover_above_the_viewers_level_gives_way_to_another(
    client: Client, as_ada: Client, v1: Version
) -> None:
    sample_of(v1, maturity="explicit")
    second, chosen = sample_of(v1), sample_of(v1, maturity="mature")
    Cover.objects.create(adapter=v1.adapter, sample=chosen)
    panel = "/ada/noir/previews"
    assert f"/media/samples/{chosen.pk}.webp" in shown(as_ada, panel)
    as_ada.logout()
    assert f"/media/samples/{second.pk}.webp" in shown(client, panel)
    assert f"/media/samples/{chosen.pk}.webp" in shown(client, f"{panel}?show=mature")


def test_a_yanked_version_keeps_its_picture_on_its_page(client: Client, v1: Version) -> None:
    sample = sample_of(v1)
    versions.yank(actor=v1.author, version=v1, reason="too dark")
    page = shown(client, "/ada/noir?v=v1")
    assert page.count(f'src="/media/samples/{sample.pk}.webp"') == 2
    assert "no picture yet" not in page


def test_the_owner_chooses_an_upload_in_the_gallery(
    client: Client, as_ada: Client, noir: Adapter, v1: Version
) -> None:
    _first, second = sample_of(v1), sample_of(v1)
    assert f'name="sample" value="{second.pk}"' in shown(as_ada)
    answer = as_ada.post(PLACE, {"sample": second.pk, "version": "v1", "back": "gallery"})
    assert answer.headers["Location"] == "/ada/noir/gallery?v=v1"
    assert cover_id(noir) == second.pk
    page = shown(as_ada)
    assert "The picture is the cover now." in page
    assert f'name="sample" value="{second.pk}"' not in page
    answer = as_ada.post(PLACE, {"version": "v1"})
    assert answer.headers["Location"] == "/ada/noir?v=v1"
    assert not Cover.objects.exists()


def test_the_owner_chooses_a_strength_of_the_sweep(
    as_ada: Client, noir: Adapter, v1: Version
) -> None:
    images = {one.strength: one for one in render(v1, "ready", 5).images.all()}
    page = shown(as_ada, "/ada/noir?at=2")
    assert f'value="{images[0.5].pk}"' in page
    as_ada.post(PLACE, {"image": images[0.5].pk})
    assert cover_id(noir) == images[0.5].pk
    assert "Lists show the cover that you chose." in shown(as_ada)


def test_visitors_are_not_offered_a_choice(client: Client, v1: Version) -> None:
    render(v1, "ready", 5)
    sample_of(v1)
    page = shown(client)
    assert "as cover" not in page
    assert 'action="/ada/noir/cover"' not in page


@pytest.mark.parametrize("data", [{"sample": "x"}, {"sample": 2**70}, {"image": 9}, {"back": "x"}])
def test_a_choice_that_is_none_is_refused_on_a_page(
    as_ada: Client, v1: Version, data: dict[str, str]
) -> None:
    assert as_ada.post(PLACE, data).status_code == 400
    assert not Cover.objects.exists()


def picture(colour: str) -> bytes:
    stream = io.BytesIO()
    Pillow.new("RGB", (64, 48), colour).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


def test_the_card_for_links_shows_the_cover(client: Client, as_ada: Client, v1: Version) -> None:
    place = f"/media/cards/{v1.pk}.png"
    drawn = client.get(place).headers["ETag"]
    sample = sample_of(v1, blob=blob_of(picture("#00ff00")))
    answer = client.get(place)
    assert answer.headers["ETag"] != drawn
    with Pillow.open(io.BytesIO(answer.content)) as card:
        assert card.getpixel((900, 300)) == (0, 255, 0)
    render(v1, "ready", 5)
    strip = client.get(place).headers["ETag"]
    as_ada.post(PLACE, {"sample": sample.pk})
    assert strip != client.get(place).headers["ETag"] == answer.headers["ETag"]


def test_a_card_is_drawn_without_the_bytes_of_the_cover(client: Client, v1: Version) -> None:
    sample_of(v1)  # its bytes are no picture
    answer = client.get(f"/media/cards/{v1.pk}.png")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
