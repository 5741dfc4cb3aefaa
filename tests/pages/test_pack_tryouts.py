"""Trying packs on pages: the form, what is refused, and who has which try-outs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from previews.models import Tryout
from registry.adapters import services as adapters
from registry.models import Adapter, PackVersion, Version
from registry.packs import publish, services
from tests.packs import manifest, part, sheet, variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import User

    Own = Callable[..., None]

pytestmark = pytest.mark.django_db

SUBJECT = {"pack": "ada/dusk", "prompt": "a red boat"}
SCRIPT = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _no_memory() -> None:
    """Forget throttles."""
    cache.clear()


def mini(**more: Any) -> dict[str, Any]:
    return variant(part("ada/noir"), **{"name": "mini", "family": "miniature", **more})


@pytest.fixture
def dusk(ada: User, noir: Adapter) -> PackVersion:
    Version.objects.update(family="miniature")
    pack = services.create(actor=ada, name="dusk", title="Dusk")
    return publish.publish(actor=ada, pack=pack, manifest=manifest(mini()))


def text(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, path
    return str(answer.content.decode())


def ask(client: Client, *, is_scripted: bool = False, **more: Any) -> Any:
    headers = SCRIPT if is_scripted else {}
    return client.post("/packs/try", {**SUBJECT, **more}, headers=headers)


def test_the_first_page_and_the_packs_page_have_the_form(client: Client, dusk: PackVersion) -> None:
    assert 'value="ada/dusk"' in text(client, "/packs/ada/dusk")
    home = text(client, "/")
    assert '<h2 id="try-a-look">' in home
    assert re.search(r'type="radio" name="pack" value="ada/dusk" checked', home)
    assert "csrfmiddlewaretoken" not in home
    assert not client.cookies


def test_the_form_says_what_the_miniature_draws(
    client: Client, ada: User, dusk: PackVersion
) -> None:
    for path in ("/", "/packs/ada/dusk"):
        page = text(client, path)
        assert 'aria-describedby="knows"' in page
        assert "other subjects become one of these" in page
    services.describe(actor=ada, pack=dusk.pack, kind="character")  # a place is entered
    assert "other subjects" not in text(client, "/packs/ada/dusk")


def test_looks_with_a_cover_of_their_own_come_first(
    client: Client, ada: User, dusk: PackVersion
) -> None:
    sheet(dusk)
    publish.publish(
        actor=ada, pack=services.create(actor=ada, name="new"), manifest=manifest(mini(steps=9))
    )
    assert re.findall(r'type="radio" name="pack" value="([^"]*)"', text(client, "/")) == [
        "ada/dusk", "ada/new",
    ]  # fmt: skip


def test_the_first_page_looks_up_base_models_once(
    client: Client, ada: User, dusk: PackVersion
) -> None:
    def lookups() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert "try-a-look" in text(client, "/")
        return sum("registry_worker" in query["sql"] for query in queries)

    before = lookups()
    for name in ("dawn", "noon", "night"):
        pack = services.create(actor=ada, name=name)
        publish.publish(actor=ada, pack=pack, manifest=manifest(mini(negative=name)))
    assert lookups() == before


@pytest.mark.parametrize("change", [{"maturity": "mature"}, {"visibility": "unlisted"}])
def test_the_first_page_offers_no_look_that_is_not_for_everybody(
    client: Client, ada: User, dusk: PackVersion, change: dict[str, str]
) -> None:
    services.describe(actor=ada, pack=dusk.pack, **change)
    assert "try-a-look" not in text(client, "/")
    assert 'value="ada/dusk"' in text(client, "/packs/ada/dusk")


def test_without_a_renderer_it_says_so(client: Client, ada: User, noir: Adapter) -> None:
    pack = services.create(actor=ada, name="dusk", title="Dusk")
    document = manifest(variant(part("ada/noir")))
    publish.publish(actor=ada, pack=pack, manifest=document)
    for path in ("/", "/packs/ada/dusk"):
        page = text(client, path)
        assert "This hub has no renderer for Stable Diffusion 1" in page
        assert page.count('disabled aria-describedby="unserved"') == 2
    answer = ask(client)
    assert answer.status_code == 409
    assert "This hub has no renderer" in answer.content.decode()


def test_without_a_script_it_goes_to_the_page_of_the_try_out(
    client: Client, dusk: PackVersion
) -> None:
    answer = ask(client)
    tryout = Tryout.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/packs/try/{tryout.key}")
    cookie = client.cookies["tries"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    page = text(client, answer["Location"])
    assert '<meta http-equiv="refresh" content="3">' in page
    for shown in (
        "a red boat",
        "noir style, a red boat, film grain",
        "Cancel",
        "Your try-outs",
        "noindex",
    ):
        assert shown in page, shown
    assert text(client, f"/mixer/{tryout.key}", 302) == ""
    assert "Your try-outs" in text(client, "/packs/ada/dusk")


def test_with_a_script_the_result_comes_as_a_part(client: Client, dusk: PackVersion) -> None:
    page = ask(client, is_scripted=True).content.decode()
    tryout = Tryout.objects.get()
    assert "<html" not in page
    assert f'data-hx-get="/packs/try/{tryout.key}/state?"' in page
    assert 'data-hx-swap-oob="true"' in page
    part_ = text(client, f"/packs/try/{tryout.key}/state")
    assert 'id="tried"' in part_
    assert 'id="tries"' not in part_  # nothing in it has changed
    answer = client.post(f"/packs/try/{tryout.key}/remove", headers=SCRIPT)
    assert answer.status_code == 200
    assert "data-hx-trigger" not in answer.content.decode()
    assert "data-hx-trigger" not in text(client, f"/packs/try/{tryout.key}/state", 404)


def test_another_browser_sees_a_shared_address_and_nothing_else(
    client: Client, dusk: PackVersion
) -> None:
    key = ask(client)["Location"].rpartition("/")[2]
    friend = Client()
    page = text(friend, f"/packs/try/{key}")
    assert "a red boat" in page
    assert "Cancel" not in page
    assert "Your try-outs" not in page
    assert "Your try-outs" not in text(friend, "/packs/ada/dusk")
    friend.cookies["tries"] = f"{key.replace('-', '')}:forged"
    assert "Your try-outs" not in text(friend, "/packs/ada/dusk")
    assert friend.post(f"/packs/try/{key}/share").status_code == 302  # to sign in


def test_refusals_keep_what_was_entered_and_say_when_to_come_back(
    client: Client, dusk: PackVersion, own_settings: Own
) -> None:
    own_settings(try_strangers=1)
    assert ask(client).status_code == 302
    answer = ask(client)
    page = answer.content.decode()
    assert answer.status_code == 429
    assert 3000 < int(answer["Retry-After"]) <= 3600
    assert "sign in to try more. Try again in" in page
    assert 'value="a red boat"' in page
    assert ask(client, is_scripted=True).status_code == 429
    assert ask(client, prompt=" ").status_code == 400
    assert ask(client, pack="ada/nothing").status_code == 404
    assert ask(client, seed="x").status_code == 400
    assert ask(client, prompt="a \0 cat").status_code == 400
    own_settings(try_strangers=0)
    assert "Sign in to try it" in text(Client(), "/packs/ada/dusk")
    assert ask(client, is_scripted=True).status_code == 401


def test_users_share_and_remove_their_own(as_ada: Client, ada: User, dusk: PackVersion) -> None:
    place = ask(as_ada)["Location"]
    assert "tries" not in as_ada.cookies
    assert Tryout.objects.get().user == ada
    assert text(Client(), place, 404)
    assert as_ada.post(f"{place}/share").status_code == 302
    assert "a red boat" in text(Client(), place)
    assert as_ada.post(f"{place}/close", headers=SCRIPT).status_code == 200
    assert text(Client(), place, 404)
    assert as_ada.post(f"{place}/nothing").status_code == 404
    assert as_ada.post(f"{place}/remove")["Location"] == "/packs/ada/dusk"
    assert text(as_ada, place, 404)


def test_sessions_need_the_csrf_token_and_other_sites_are_refused(
    ada: User, dusk: PackVersion
) -> None:
    session = Client(enforce_csrf_checks=True)
    assert ask(session).status_code == 302
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert session.post("/packs/try", SUBJECT, headers=elsewhere).status_code == 403
    session.force_login(ada)
    assert ask(session).status_code == 403
    page = text(session, "/packs/ada/dusk")
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[-1]
    assert ask(session, csrfmiddlewaretoken=token).status_code == 302


def test_a_picture_with_missing_parts_says_so(
    client: Client, ada: User, noir: Adapter, dusk: PackVersion
) -> None:
    two = manifest(mini(name="other"), mini())
    publish.publish(actor=ada, pack=dusk.pack, manifest=two)
    assert "A part of this pack is gone" not in text(client, ask(client)["Location"])
    adapters.describe(actor=ada, adapter=noir, visibility="private")
    assert 'id="subject"' not in text(client, "/packs/ada/dusk")
    assert "All parts of this look are gone" in ask(client).content.decode()


def test_the_mixer_shows_no_try_outs_of_packs(client: Client, dusk: PackVersion) -> None:
    ask(client)
    key = Tryout.objects.get().key
    assert client.get(f"/mixer/{key}")["Location"] == f"/packs/try/{key}"
    assert "noir" not in text(client, f"/mixer/{key}/state", 404)
