"""The list of packs, the page of one, and its owner's edits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from hub.pages.packs import views
from registry.adapters import services as adapters
from registry.models import Pack
from registry.packs import aliases, publish, services, states
from registry.versions import withdraw
from tests import packs
from tests.packs import part, variant
from tests.pages.files import lora

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Adapter, PackVersion, User

pytestmark = pytest.mark.django_db

PLACE = "/packs/ada/dusk"


@pytest.fixture
def dusk(ada: User, noir: Adapter) -> PackVersion:
    return packs.published(ada, noir, title="Dusk", summary="Grey evenings", tags=["evening"])


def text(client: Client, path: str = PLACE, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, path
    return str(answer.content.decode())


def titles(client: Client, path: str = "/packs") -> list[str]:
    return re.findall(r'<h2><a href="[^"]*">(.*?)</a></h2>', text(client, path))


def test_the_page_shows_parts_prompt_and_how_to_pull_it(
    client: Client, ada: User, dusk: PackVersion
) -> None:
    aliases.point(actor=ada, pack=dusk.pack, name="stable", to=dusk)
    services.describe(actor=ada, pack=dusk.pack, card="A *quiet* look")
    page = text(client)
    for shown in (
        "Grey evenings", 'href="/ada/noir?v=v1"', "0.8", "noir style, <b>your subject</b>, film",
        "blurry", "lorary pull pack:ada/dusk --to loras", "@stable", "<em>quiet</em>",
        "Stable Diffusion 1", 'href="/packs?tag=evening"', "noir light", 'src="/media/',
    ):  # fmt: skip
        assert shown in page, shown
    assert "Edit the card" not in page


def test_the_page_makes_a_fixed_number_of_queries(
    client: Client,
    ada: User,
    dusk: PackVersion,
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    other = adapters.create(actor=ada, name="grain")
    packs.release(other, lora(8))
    document = packs.manifest(
        variant(part("ada/noir")), variant(part("ada/noir"), part(other), name="both")
    )
    publish.publish(actor=ada, pack=dusk.pack, manifest=document)
    with django_assert_max_num_queries(24):  # type: ignore[attr-defined]
        text(client)
    for name in ("dawn", "noon"):
        packs.published(ada, other, name=name)
    with django_assert_max_num_queries(18):  # type: ignore[attr-defined]
        assert titles(client) == ["noon", "dawn", "Dusk"]


def test_what_is_missing_is_said(
    client: Client, ada: User, noir: Adapter, dusk: PackVersion
) -> None:
    first = noir.latest_version
    assert first is not None
    adapters.describe(actor=ada, adapter=noir, visibility="private")
    page = text(client)
    assert "A part of this version is gone" in page
    assert 'data-copy="lorary pull pack:ada/dusk --partial --to loras"' in page
    assert "Not available" in page
    assert 'href="/ada/noir' not in page
    assert "Parts are missing" in text(client, "/packs")
    client.force_login(ada)
    assert "Other users cannot download a part" in text(client)
    client.logout()
    adapters.describe(actor=ada, adapter=noir, visibility="public")
    assert "A part of this version is gone" not in text(client)
    withdraw.withdraw(actor=ada, version=first, reason="Copied")
    assert "Copied" in text(client)


def test_each_variant_is_offered_to_the_tools_that_render_it(
    client: Client, ada: User, noir: Adapter, dusk: PackVersion
) -> None:
    film = variant(part("ada/noir"), name="film", output="video")
    publish.publish(
        actor=ada, pack=dusk.pack, manifest=packs.manifest(variant(part("ada/noir")), film)
    )
    links = re.findall(r'href="([^"]*/export[^"]*)"', text(client))
    place = "/api/v1/packs/ada/dusk/versions/v2/export"
    assert links == [
        f"{place}?for={query}"
        for query in (
            "comfyui&amp;variant=sd1&amp;form=ui", "comfyui&amp;variant=sd1&amp;form=api",
            "a1111&amp;variant=sd1", "forge&amp;variant=sd1", "diffusers&amp;variant=sd1",
            "invokeai&amp;variant=sd1", "swarmui&amp;variant=sd1", "diffusers&amp;variant=film",
        )
    ]  # fmt: skip
    for link in links:
        assert "film grain" in text(client, link.replace("&amp;", "&"))
    adapters.describe(actor=ada, adapter=noir, visibility="private")
    assert "/export" not in text(client)


def test_pictures_above_the_level_of_the_viewer_have_their_rating(
    client: Client, ada: User, noir: Adapter, dusk: PackVersion
) -> None:
    adapters.describe(actor=ada, adapter=noir, maturity="mature")
    assert "<b>Mature</b>" in text(client, "/packs")
    assert "Content rating" in text(client)


def test_versions_are_chosen_and_withdrawn_ones_are_gone(
    client: Client, ada: User, dusk: PackVersion
) -> None:
    other = packs.manifest(variant(part("ada/noir", strength=0.5)))
    second = publish.publish(actor=ada, pack=dusk.pack, manifest=other, notes="Softer")
    assert "Softer" in text(client)
    page = text(client, f"{PLACE}?v=v1")
    assert "v2 is the latest version" in page
    assert "pack:ada/dusk@v1" in page
    states.yank(actor=ada, version=second, reason="Too soft")
    assert "Reason: Too soft" in text(client, f"{PLACE}?v=v2")
    states.withdraw(actor=ada, version=second, reason="Copied")
    assert "Copied" in text(client, f"{PLACE}?v=v2", 410)
    assert "Withdrawn: Copied" in text(client)
    text(client, f"{PLACE}?v=v9", 404)
    states.withdraw_pack(actor=ada, pack=dusk.pack, reason="Rights")
    assert "Rights" in text(client, PLACE, 410)


def test_the_list_is_searched_narrowed_and_paged(
    client: Client, ada: User, noir: Adapter, dusk: PackVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs.published(ada, noir, name="dawn", kind="lighting")
    for query, found in (
        ("", ["dawn", "Dusk"]), ("?q=gray", ["Dusk"]), ("?kind=lighting", ["dawn"]),
        ("?tag=Evening", ["Dusk"]), ("?owner=bob", []), ("?kind=nothing", ["dawn", "Dusk"]),
    ):  # fmt: skip
        assert titles(client, f"/packs{query}") == found, query
    assert "No pack matches" in text(client, "/packs?q=nothing")
    monkeypatch.setattr(views, "PACKS_PER_PAGE", 1)
    page = text(client, "/packs?q=d")
    (following,) = re.findall(r'rel="next" href="([^"]*)"', page)
    second = text(client, f"/packs{following.replace('&amp;', '&')}")
    assert "002" in second
    assert "Dusk" in second
    assert 'rel="next"' not in second
    text(client, "/packs?cursor=x", 400)


def test_a_search_of_the_site_shows_packs(
    client: Client, ada: User, noir: Adapter, dusk: PackVersion
) -> None:
    page = text(client, "/browse?q=grey")
    assert f'<a class="chip" href="{PLACE}">Dusk</a>' in page
    assert "All matching packs" not in page
    assert PLACE not in text(client, "/browse?q=nothing")
    assert PLACE not in text(client, "/browse")
    for number in range(5):
        packs.published(ada, noir, name=f"grey-{number}")
    assert 'href="/packs?q=grey"' in text(client, "/browse?q=grey")


def test_a_pack_without_a_version_is_listed_for_its_owner_alone(
    client: Client, ada: User, bob: User
) -> None:
    services.create(actor=ada, name="dusk")
    assert "Its owner has not published one." in text(client)
    assert "ada/dusk" not in text(client, "/packs")
    client.force_login(bob)
    assert "ada/dusk" not in text(client, "/packs")
    client.force_login(ada)
    assert "ada/dusk" in text(client, "/packs")
    page = text(client)
    assert "lorary pack publish ada/dusk" in page
    assert f'href="{PLACE}/publish"' in page


def test_an_empty_hub_says_how_to_make_a_pack(client: Client) -> None:
    page = text(client, "/packs")
    assert "No packs yet" in page
    assert "lorary pack publish" in page


def test_its_owner_edits_the_card_and_the_address(
    as_ada: Client, ada: User, dusk: PackVersion
) -> None:
    assert "Edit the card" in text(as_ada)
    form = text(as_ada, f"{PLACE}/edit")
    seen = re.findall(r'name="seen" value="([^"]*)"', form)[0]
    sent = {
        "title": "Dawn", "name": "dawn", "summary": "", "kind": "lighting", "tags": "a, b",
        "maturity": "general", "visibility": "public", "card": "", "seen": seen,
    }  # fmt: skip
    answer = as_ada.post(f"{PLACE}/edit", sent)
    assert (answer.status_code, answer["Location"]) == (302, "/packs/ada/dawn")
    pack = Pack.objects.get()
    assert (pack.title, pack.kind, pack.tags.count()) == ("Dawn", "lighting", 2)
    moved = as_ada.get(PLACE)
    assert (moved.status_code, moved["Location"]) == (301, "/packs/ada/dawn")
    late = as_ada.post("/packs/ada/dawn/edit", sent)
    assert (late.status_code, b"has been changed since" in late.content) == (400, True)
    bad = as_ada.post("/packs/ada/dawn/edit", {**sent, "seen": "", "name": "a--b"})
    assert (bad.status_code, b"must not contain" in bad.content) == (400, True)


def test_a_rating_below_a_parts_is_refused_at_its_field(
    as_ada: Client, ada: User, noir: Adapter, dusk: PackVersion
) -> None:
    adapters.describe(actor=ada, adapter=noir, maturity="mature", visibility="unlisted")
    sent = {"kind": "style", "maturity": "general", "visibility": "public"}
    assert as_ada.post(f"{PLACE}/edit", sent).status_code == 302  # neither of them changes
    services.describe(actor=ada, pack=dusk.pack, maturity="mature", visibility="unlisted")
    answer = as_ada.post(f"{PLACE}/edit", sent)
    assert answer.status_code == 400
    assert answer.content.count(b'class="err"') == 2


def test_others_may_not_edit_it(client: Client, bob: User, dusk: PackVersion) -> None:
    assert client.get(f"{PLACE}/edit").status_code == 302
    client.force_login(bob)
    text(client, f"{PLACE}/edit", 403)
