"""The page where stacks are tried: put together, asked for, watched, shared."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from previews.models import Image, Render, RenderState, Tryout
from previews.tryouts import selectors
from previews.tryouts import services as tryouts
from previews.tryouts.requests import TryoutRequest
from registry.models import Adapter, Blob, Job, JobState, Version
from tests import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import User


@pytest.fixture
def neon(v1: Version) -> Version:
    """A version for the base model that every hub has."""
    Version.objects.update(family="miniature")
    v1.adapter.family = "miniature"
    v1.adapter.save()
    v1.refresh_from_db()
    return v1


@pytest.fixture
def ink(neon: Version, bob: User, published: Callable[..., Adapter]) -> Version:
    adapter = published(bob, "ink", title="Ink")
    adapter.family = "miniature"
    adapter.save()
    Version.objects.update(family="miniature")
    return adapter.versions.get()


def filled(*names: str, **said: str) -> dict[str, Any]:
    """The form as a browser sends it."""
    layers = list(names) or ["ada/noir@v1"]
    return {
        "layer": layers,
        "strength": ["0.8"] * len(layers),
        "prompt": "a red boat",
        "seed": "5",
        "do": "render",
        **said,
    }


def page_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def asked(ada: User, neon: Version) -> Tryout:
    wish = TryoutRequest(layers=[(neon, 0.8)], prompt="a red boat", seed=5, compares=True)
    return tryouts.create(actor=ada, request=wish)


def finish(tryout: Tryout, state: str = RenderState.READY, reason: str = "") -> None:
    """End a try-out, ready ones with their pictures."""
    blob, _made = Blob.objects.get_or_create(sha256="1" * 64, defaults={"size_bytes": 1})
    if state == RenderState.READY:
        for position, strength in enumerate((0.0, 1.0)):
            Image.objects.create(
                render=tryout.render, blob=blob, position=position, prompt_index=0,
                prompt="a red boat", seed=5, strength=strength, width=128, height=128,
            )  # fmt: skip
    Job.objects.filter(renders=tryout.render).update(state=JobState.DONE)
    Render.objects.filter(pk=tryout.render.pk).update(state=state, reason=reason)


# --- The stack ----------------------------------------------------------------------------------


def test_the_page_of_an_adapter_leads_to_a_stack_with_it(as_ada: Client, neon: Version) -> None:
    text = page_of(as_ada, "/ada/noir")
    (link,) = re.findall(r'href="(/try\?add=[^"]+)"', text)
    text = page_of(as_ada, link)
    assert 'name="layer" value="ada/noir@v1"' in text
    assert re.search(r'name="strength"[^>]* value="0.9"', text)  # the recommended one
    assert "noir light" in text
    assert "Miniature" in text


def test_pages_of_what_cannot_be_tried_do_not_offer_it(as_ada: Client, v1: Version) -> None:
    Version.objects.filter(pk=v1.pk).update(family="")
    assert "/try?add=" not in as_ada.get("/ada/noir?v=v1").content.decode()
    Version.objects.filter(pk=v1.pk).update(family="sd1")
    catalogue.put(Version.objects.filter(pk=v1.pk), "withdrawn")
    assert "/try?add=" not in as_ada.get("/ada/noir?v=v1").content.decode()


def test_strangers_see_the_page_and_are_asked_to_sign_in(client: Client, neon: Version) -> None:
    text = page_of(client, "/try?add=ada/noir@v1")
    assert 'name="layer" value="ada/noir@v1"' in text
    (link,) = re.findall(r'href="(/signin\?next=%2Ftry[^"]+)"[^>]*>Sign in to render it', text)
    assert "noir" in link
    answer = client.post("/try", filled())
    assert answer.status_code == 302
    assert answer["Location"].startswith("/signin?next=%2Ftry%3F")
    assert "a%2Bred%2Bboat" in answer["Location"]
    assert not Tryout.objects.exists()


def test_an_empty_desk_says_how_to_begin(as_ada: Client) -> None:
    text = page_of(as_ada, "/try")
    assert "The stack is empty" in text


#: A button, and the stack after it.
BUTTONS = [
    ({"drop": "0"}, ["bob/ink@v1"]),
    ({"up": "1"}, ["bob/ink@v1", "ada/noir@v1"]),
    ({"up": "0"}, ["ada/noir@v1", "bob/ink@v1"]),
    ({"drop": "7"}, ["ada/noir@v1", "bob/ink@v1"]),
    ({"drop": "x"}, ["ada/noir@v1", "bob/ink@v1"]),
    ({"drop": "1" * 5000}, ["ada/noir@v1", "bob/ink@v1"]),
    ({"add": "ada/noir@v1"}, ["ada/noir@v1", "bob/ink@v1"]),
]


def test_buttons_change_the_stack_with_and_without_a_script(as_ada: Client, ink: Version) -> None:
    for button, after in BUTTONS:
        form = filled("ada/noir@v1", "bob/ink@v1") | button
        scripted = as_ada.post("/try/stack", form, headers={"HX-Request": "true"})
        names = re.findall(r'name="layer" value="([^"]+)"', scripted.content.decode())
        assert names == after, button
        assert b"<html" not in scripted.content
        plain = as_ada.post("/try/stack", form)
        text = page_of(as_ada, plain["Location"])
        assert re.findall(r'name="layer" value="([^"]+)"', text) == after, button
        assert "a red boat</textarea>" in text
        assert re.search(r'name="strength"[^>]* value="0.8"', text)


def test_a_search_offers_what_fits_and_is_not_there_yet(
    as_ada: Client, ink: Version, bob: User, published: Callable[..., Adapter]
) -> None:
    published(bob, "inkwell", title="Inkwell")  # of another family
    hidden = published(bob, "inky", title="Inky", visibility="private")
    hidden.family = "miniature"
    hidden.save()
    text = as_ada.get("/try/search?q=ink&layer=ada/noir@v1").content.decode()
    assert re.findall(r'name="add" value="([^"]+)"', text) == ["bob/ink@v1"]
    text = as_ada.get("/try/search?q=zebra&layer=ada/noir@v1").content.decode()
    assert "No other adapter for Miniature" in text
    entered = as_ada.post("/try", {"layer": "ada/noir@v1", "strength": "1", "q": "ink"})
    assert 'value="bob/ink@v1"' in page_of(as_ada, entered["Location"])


def test_names_of_nothing_are_said_and_left_out(as_ada: Client, neon: Version) -> None:
    for name in ("ada/nothing", "nonsense", "a/b/c@d@e", "ada/noir@v9", "/"):
        text = as_ada.get("/try", {"layer": ["ada/noir@v1", name]}).content.decode()
        assert re.search(r'role="alert">“?\w', text), name
    answer = as_ada.post("/try", filled("ada/noir@v1", "ada/nothing", "\0"), follow=True)
    assert answer.status_code == 200
    assert Tryout.objects.count() == 1


def test_a_private_adapter_of_another_is_not_there(as_ada: Client, ink: Version) -> None:
    ink.adapter.visibility = "private"
    ink.adapter.save()
    text = page_of(as_ada, "/try?add=bob/ink@v1")
    assert "There is no adapter “bob/ink”" in text
    assert 'name="layer"' not in text


def test_a_base_that_nobody_has_is_said_before_anybody_asks(
    as_ada: Client, neon: Version, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "none.toml").write_text("")
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=tmp_path / "none.toml")
    text = page_of(as_ada, "/try?add=ada/noir@v1")
    assert "The picture will appear here" not in text
    place = text.index("This hub has no renderer for Miniature at present.")
    assert text.index('id="ask"') < place < text.index('value="render"')
    assert 'href="/help/previews#base-models"' in text
    assert re.search(r'value="render" disabled aria-describedby="unserved"', text)
    part = as_ada.post("/try/stack", filled(), headers={"HX-Request": "true"}).content.decode()
    assert 'id="ask" data-hx-swap-oob="true"' in part
    assert re.search(r'value="render" disabled', part)
    answer = as_ada.post("/try", filled())
    assert answer.status_code == 409
    assert "This hub has no renderer for Miniature at present." in answer.content.decode()


# --- Asking -------------------------------------------------------------------------------------


def test_a_base_that_is_here_can_be_asked_for(as_ada: Client, neon: Version) -> None:
    text = page_of(as_ada, "/try?add=ada/noir@v1")
    assert 'value="render">' in text
    part = as_ada.post("/try/stack", filled(), headers={"HX-Request": "true"}).content.decode()
    assert 'value="render">' in part


def test_asking_leads_to_a_page_that_renews_itself(as_ada: Client, neon: Version) -> None:
    answer = as_ada.post("/try", filled(compare="on", width="96"))
    [tryout] = Tryout.objects.all()
    assert answer["Location"] == f"/try/{tryout.key}"
    text = page_of(as_ada, answer["Location"])
    assert f'data-hx-get="/try/{tryout.key}/state?" data-hx-trigger="every 2s"' in text
    assert '<noscript><meta http-equiv="refresh"' in text
    assert "No worker for this base model is running" in text
    assert "a red boat</textarea>" in text  # without the trigger words
    assert "a red boat, noir light" in text
    assert re.search(r'name="seed" value="5"', text)
    assert re.search(r'name="width" value="96"', text)
    assert re.search(r'name="compare"[^>]* checked', text)
    assert not re.search(r'name="plain"[^>]* checked', text)


def test_a_new_seed_is_drawn_when_asked_for(as_ada: Client, neon: Version) -> None:
    as_ada.post("/try", filled(do="fresh"))
    [tryout] = Tryout.objects.select_related("render__recipe")
    assert tryout.render.recipe is not None
    assert tryout.render.recipe.document["seeds"] != [5]


#: What is filled in, and what is said of it.
MISFITS = [
    ({"prompt": "x" * 100_000}, "Enter at most 2000 characters; you entered 100000."),
    ({"seed": "-1"}, "Enter a whole number from 0"),
    ({"seed": "many"}, "Enter a whole number."),
    ({"width": "20"}, "Enter a multiple of 8 from 64 to 192."),
    ({"strength": "3"}, "Enter a strength from −2 to 2."),
    ({"strength": "loud"}, "Enter a strength from −2 to 2."),
    ({"strength": "nan"}, "Enter a strength from −2 to 2."),
    ({"layer": ""}, "The stack is empty. Add a version first."),
]


def test_what_does_not_fit_is_said_and_nothing_is_lost(as_ada: Client, neon: Version) -> None:
    for said, sentence in MISFITS:
        answer = as_ada.post("/try", filled(negative="fog") | said)
        text = answer.content.decode()
        assert answer.status_code == 400, said
        assert sentence in text
        assert 'value="fog"' in text
        assert not Tryout.objects.exists()


def test_another_family_is_named(as_ada: Client, ink: Version) -> None:
    ink.family = "sdxl"
    ink.save()
    answer = as_ada.post("/try", filled("ada/noir@v1", "bob/ink@v1"))
    assert answer.status_code == 400
    assert "“bob/ink@v1” is for Stable Diffusion XL" in answer.content.decode()


def test_too_many_are_refused_with_the_form_kept(
    as_ada: Client, neon: Version, own_settings: Callable[..., None]
) -> None:
    own_settings(tryouts_open=1)
    as_ada.post("/try", filled())
    answer = as_ada.post("/try", filled())
    assert (answer.status_code, answer["Retry-After"]) == (429, "10")
    assert "One try-out at a time" in answer.content.decode()
    assert "a red boat</textarea>" in answer.content.decode()


# --- Looking ------------------------------------------------------------------------------------


def test_a_ready_one_shows_both_pictures_and_stops_renewing(as_ada: Client, asked: Tryout) -> None:
    finish(asked)
    text = page_of(as_ada, f"/try/{asked.key}/state")
    assert len(re.findall(r'src="/media/images/\d+\.png"', text)) == 2
    assert "data-hx-trigger" not in text
    assert "<figcaption><span>without it, same seed</span></figcaption>" in text
    assert "ada/noir@v1: 0.8" in text
    assert "Share it" in text


def test_a_running_one_shows_its_steps_and_can_be_cancelled(as_ada: Client, asked: Tryout) -> None:
    Job.objects.filter(renders=asked.render).update(state=JobState.RUNNING, done=3, total=16)
    Render.objects.filter(pk=asked.render.pk).update(state=RenderState.RUNNING)
    text = page_of(as_ada, f"/try/{asked.key}/state")
    assert "Rendering: step 3 of 16" in text
    assert '<progress max="16" value="3"' in text
    assert "Cancel" in text


def test_one_that_is_gone_is_asked_for_no_more(as_ada: Client, asked: Tryout) -> None:
    as_ada.post(f"/try/{asked.key}/remove")
    answer = as_ada.get(f"/try/{asked.key}/state")
    assert answer.status_code == 404
    assert b"data-hx-trigger" not in answer.content
    assert b"<html" not in answer.content


def test_one_that_waits_says_for_what(as_ada: Client, asked: Tryout) -> None:
    a_minute_ago = timezone.now() - timedelta(minutes=1)
    Job.objects.filter(renders=asked.render).update(created_at=a_minute_ago)
    text = page_of(as_ada, f"/try/{asked.key}/state")
    assert ">Waiting for a worker for Miniature<" in text


def test_a_failed_one_says_why(as_ada: Client, asked: Tryout) -> None:
    finish(asked, RenderState.FAILED, "The file contains numbers that are not finite.")
    text = page_of(as_ada, f"/try/{asked.key}")
    assert "The file contains numbers that are not finite." in text
    assert 'data-hx-trigger="every' not in text


def test_it_is_shared_closed_and_removed_by_buttons(
    as_ada: Client, asked: Tryout, bob: User
) -> None:
    finish(asked)
    place, guest = f"/try/{asked.key}", Client()
    guest.force_login(bob)
    assert guest.get(place).status_code == guest.get(f"{place}/state").status_code == 404
    assert guest.post(f"{place}/share").status_code == 404
    as_ada.post(f"{place}/share")
    text = page_of(as_ada, place)
    assert f"http://testserver{place}" in text
    assert "A shared stack" not in text
    text = page_of(guest, place)
    assert "A shared stack" in text
    assert "Stop sharing" not in text
    assert f"{place}/remove" not in text
    assert guest.post(f"{place}/remove").status_code == 404
    as_ada.post(f"{place}/close")
    assert guest.get(place).status_code == 404
    assert as_ada.post(f"{place}/burn").status_code == 404
    gone = as_ada.post(f"{place}/remove")
    assert "a+red+boat" in gone["Location"]  # the desk stays as it was
    assert as_ada.get(place).status_code == 404


def test_a_shared_picture_of_a_mature_adapter_is_blurred(as_ada: Client, asked: Tryout) -> None:
    finish(asked)
    place = f"/try/{asked.key}"
    as_ada.post(f"{place}/share")
    Adapter.objects.update(maturity="mature")
    guest = Client()
    for path in (place, f"{place}/state"):
        told = page_of(guest, path)
        assert "<b>Mature</b>" in told
        assert "/media/images/" not in told
        assert f'href="{place}?show=mature"' in told
    assert "/media/images/" in page_of(guest, f"{place}?show=mature")
    assert "/media/images/" in page_of(as_ada, place)


def test_the_strip_shows_ones_own_alone(as_ada: Client, asked: Tryout, bob: User) -> None:
    finish(asked)
    assert f'href="/try/{asked.key}"' in page_of(as_ada, "/try")
    guest = Client()
    guest.force_login(bob)
    assert "/try/" + str(asked.key) not in page_of(guest, "/try")


def test_the_strip_renews_itself_until_nothing_is_open(as_ada: Client, asked: Tryout) -> None:
    text = page_of(as_ada, f"/try/{asked.key}")
    assert f'data-hx-get="/try/strip?key={asked.key}"' in text
    part = page_of(as_ada, f"/try/strip?key={asked.key}")
    assert "…" in part
    assert 'class="frame on"' in part
    finish(asked)
    part = page_of(as_ada, f"/try/strip?key={asked.key}")
    assert "…" not in part
    assert "/media/images/" in part
    assert 'class="frame on"' in part
    assert "data-hx-get" not in part


def test_the_strip_is_for_whoever_is_signed_in(client: Client, asked: Tryout) -> None:
    assert Client().get("/try/strip").status_code == 302


def test_pages_take_a_bounded_number_of_queries(
    as_ada: Client, ada: User, neon: Version, django_assert_max_num_queries: Any
) -> None:
    for seed in range(3):
        finish(
            tryouts.create(
                actor=ada, request=TryoutRequest(layers=[(neon, 1.0)], prompt="x", seed=seed)
            )
        )
    assert len(selectors.listing(ada)) == 3
    with django_assert_max_num_queries(25):
        page_of(as_ada, "/try?add=ada/noir@v1")
