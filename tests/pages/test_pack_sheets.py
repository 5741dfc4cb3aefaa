"""Cover sheets on the pages of packs, and their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils.html import escape

from previews.models import Image, RenderState
from previews.renders import contact_sheets
from registry.models import Adapter, Job, Pack
from registry.packs import publish
from tests import packs

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from previews.models import Render
    from registry.models import PackVersion, User

pytestmark = pytest.mark.django_db

PLACE = "/packs/ada/dusk"
AGAIN = f"{PLACE}/sheets?v=v1&variant=sd1"


@pytest.fixture
def dusk(ada: User, noir: Adapter) -> PackVersion:
    return packs.published(ada, noir, title="Dusk")


@pytest.fixture
def sheet(dusk: PackVersion) -> Render:
    return packs.sheet(dusk)


def text(client: Client, path: str = PLACE) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return str(answer.content.decode())


def picture(render: Render, *, strength: int = 1) -> Image:
    found = render.images.filter(strength=strength).first()
    assert found is not None
    return found


# --- Pages ---------------------------------------------------------------------------------------


def test_the_sheet_is_the_hero_and_pairs_follow(client: Client, sheet: Render) -> None:
    packs.drawn(sheet)
    page = text(client)
    assert f'href="/media/sheets/{sheet.pk}.png" download' in page
    assert "Cover sheet of Dusk: the same subjects without and with the pack" in page
    assert page.index("/media/sheets/") < page.index('class="pairs"') < page.index("your subject")
    assert page.count("<span>without the pack</span>") == 2
    assert page.count("<span>with the pack</span>") == 2
    assert f'src="/media/images/{picture(sheet).pk}.png"' in page
    assert 'alt="a cat, noir, with Dusk"' in page
    assert "data-hx-trigger" not in page[page.index('id="sheets"') : page.index('class="pairs"')]


def test_an_open_sheet_says_how_far_it_is_and_refreshes(client: Client, dusk: PackVersion) -> None:
    packs.sheet(dusk, "running", shots=2)
    page = text(client)
    assert "2 of 4 pictures of the cover sheet rendered." in page
    assert f'data-hx-get="{PLACE}" data-hx-select="#sheets"' in page


def test_a_sheet_refreshes_while_it_is_drawn_and_says_if_it_cannot_be(
    client: Client, ada: User, sheet: Render
) -> None:
    contact_sheets.begin(render=sheet)
    assert 'data-hx-select="#sheets"' in text(client)
    Job.objects.update(state="failed", reason="out of ink")
    page = text(client)
    assert "The pictures could not be put on one sheet: out of ink" in page
    assert 'data-hx-select="#sheets"' not in page
    assert "Render again" not in page
    client.force_login(ada)
    assert f'action="{escape(AGAIN)}"' in text(client)
    client.post(AGAIN)  # needs no base model
    assert Job.objects.filter(task="sheet", state="queued").exists()


def test_a_failed_sheet_says_why_and_its_owner_renders_it_again(
    client: Client, ada: User, dusk: PackVersion
) -> None:
    packs.sheet(dusk, "failed", shots=0, reason="out of paper")
    assert "out of paper" in text(client)
    client.force_login(ada)
    assert "disabled aria-describedby" in text(client)  # no worker has the base model
    page = client.post(AGAIN, follow=True).content.decode()
    assert "no renderer for Stable Diffusion 1" in page
    assert client.post(f"{PLACE}/sheets?v=%00&variant=%00").status_code == 400


def test_a_sheet_that_waits_says_for_what(client: Client, dusk: PackVersion) -> None:
    packs.sheet(dusk, RenderState.WAITING, shots=0, reason="waiting for a worker")
    assert "Waiting for a worker" in text(client)


def test_without_a_sheet_the_page_says_what_is_missing(
    client: Client, ada: User, dusk: PackVersion
) -> None:
    assert "Not rendered yet: a worker with Stable Diffusion 1" in text(client)
    clip = packs.manifest(packs.variant(packs.part("ada/noir"), output="video"))
    publish.publish(actor=ada, pack=dusk.pack, manifest=clip)
    assert "a worker that makes videos with Stable Diffusion 1" in text(client)
    Adapter.objects.update(visibility="private")  # another notice says that
    assert "Not rendered yet" not in text(client)


def test_the_card_of_a_pack_has_its_cover(client: Client, sheet: Render) -> None:
    page = text(client, "/packs")
    assert f'src="/media/images/{picture(sheet).pk}.png"' in page
    assert 'alt="Picture with Dusk"' in page


def test_pictures_of_a_rated_pack_are_blurred_until_asked_for(
    client: Client, ada: User, sheet: Render
) -> None:
    Pack.objects.update(maturity="explicit")
    address = f"/media/images/{picture(sheet).pk}.png"
    for place in (PLACE, "/packs"):
        assert address not in text(client, place)
        assert "data:image/webp;base64,AAAA" in text(client, place)
        assert address in text(client, f"{place}?show=explicit")
    client.force_login(ada)  # one's own are never blurred
    assert address in text(client)


def test_a_blurred_cover_without_a_placeholder_is_left_out(client: Client, sheet: Render) -> None:
    Image.objects.update(placeholder="")
    Pack.objects.update(maturity="explicit")
    assert f"/media/images/{picture(sheet).pk}.png" not in text(client, "/packs")


def test_pictures_have_the_rating_of_the_highest_part(client: Client, sheet: Render) -> None:
    Adapter.objects.update(maturity="explicit")
    assert f"/media/images/{picture(sheet).pk}.png" not in text(client)


def test_the_look_report_stands_under_the_sheet(client: Client, sheet: Render) -> None:
    assert "Look report" not in text(client)
    report = packs.report(sheet, state="queued", figures={})
    assert "The look is measured when no other pictures are waiting." in text(client)
    report.delete()
    packs.report(sheet)
    page = text(client)
    assert "Keeps the subject" in page
    assert page.count("62 of 100") == 2
    assert "Measured from the pictures of this sheet with Stable Diffusion 1" in page
    assert "Needs its trigger words" not in page
    Pack.objects.update(maturity="explicit")  # figures go with the pictures
    assert "Look report" not in text(client)


def test_earlier_figures_are_shown_while_the_report_is_renewed(
    client: Client, sheet: Render
) -> None:
    report = packs.report(sheet, state="queued")
    page = text(client)
    assert "New ones are being measured." in page
    assert "62 of 100" in page
    type(report).objects.update(state="failed", reason="The base is gone.")
    assert "It could not be repeated. The base is gone." in text(client)


def test_a_cover_of_an_earlier_version_has_the_rating_of_its_own_parts(
    client: Client, ada: User, dusk: PackVersion, published: Callable[..., Adapter]
) -> None:
    sheet = packs.sheet(dusk)
    published(ada, "mild", title="Mild")
    manifest = packs.manifest(packs.variant(packs.part("ada/mild")))
    publish.publish(actor=ada, pack=dusk.pack, manifest=manifest)
    address = f"/media/images/{picture(sheet).pk}.png"
    assert address in text(client, "/packs")
    Adapter.objects.filter(name="noir").update(maturity="explicit")
    assert address not in text(client, "/packs")


# --- Files ---------------------------------------------------------------------------------------


def test_pictures_and_sheets_of_a_public_pack_are_for_all_caches(
    client: Client, sheet: Render
) -> None:
    drawn = packs.drawn(sheet)
    image = picture(sheet)
    digest = {"image": image.blob.sha256[:12], "sheet": drawn.blob.sha256[:12]}
    for path in (
        f"/media/images/{image.pk}.png",
        f"/media/images/{image.pk}/{digest['image']}-{image.width}.webp",
        f"/media/sheets/{sheet.pk}.png",
        f"/media/sheets/{sheet.pk}/{digest['sheet']}-512.avif",
    ):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["Cache-Control"].startswith("public"), path
        assert "Cookie" not in answer.headers.get("Vary", "")
    answer = client.get(f"/media/sheets/{sheet.pk}.png")
    assert 'filename="dusk-v1-sd1.png"' in answer.headers["Content-Disposition"]
    for path in (
        f"/media/sheets/{sheet.pk}/{'0' * 12}-512.avif",
        f"/media/sheets/{sheet.pk}/{digest['sheet']}-333.avif",
        f"/media/sheets/{sheet.pk + 1}.png",
    ):
        assert client.get(path).status_code == 404, path


@pytest.mark.parametrize("hidden", [Pack, Adapter])
def test_who_may_not_see_the_pack_or_a_part_gets_no_picture(
    client: Client, ada: User, sheet: Render, hidden: type[Pack | Adapter]
) -> None:
    drawn = packs.drawn(sheet)
    hidden.objects.update(visibility="private")
    paths = [
        f"/media/images/{picture(sheet).pk}.png",
        f"/media/sheets/{sheet.pk}.png",
        f"/media/sheets/{sheet.pk}/{drawn.blob.sha256[:12]}-512.webp",
    ]
    for path in paths:
        assert client.get(path).status_code == 404
    client.force_login(ada)
    for path in paths:
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "private, no-store")
