"""The mixer: put together, asked for, watched, shared, saved as a pack."""

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
from registry.models import Adapter, Blob, Job, JobState, Pack, Version
from tests import catalogue, packs
from tests.pages.files import lora

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def neon(v1: Version) -> Version:
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
    answer = client.get(path, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def asked(ada: User, neon: Version) -> Tryout:
    wish = TryoutRequest(layers=[(neon, 0.8)], prompt="a red boat", seed=5, compares=True)
    return tryouts.create(actor=ada, request=wish)


def finish(tryout: Tryout, state: str = RenderState.READY, reason: str = "") -> None:
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
    (link,) = re.findall(r'href="(/mixer\?add=[^"]+)"', text)
    text = page_of(as_ada, link)
    assert 'name="layer" value="ada/noir@v1"' in text
    assert re.search(r'name="strength"[^>]* value="0.9"', text)  # the recommended one
    assert "noir light" in text
    assert "Miniature" in text


def test_pages_of_what_cannot_be_tried_do_not_offer_it(as_ada: Client, v1: Version) -> None:
    Version.objects.filter(pk=v1.pk).update(family="")
    assert "/mixer?add=" not in as_ada.get("/ada/noir?v=v1").content.decode()
    Version.objects.filter(pk=v1.pk).update(family="sd1")
    catalogue.put(Version.objects.filter(pk=v1.pk), "withdrawn")
    assert "/mixer?add=" not in as_ada.get("/ada/noir?v=v1").content.decode()


def test_strangers_see_the_page_and_are_asked_to_sign_in(client: Client, neon: Version) -> None:
    text = page_of(client, "/mixer?add=ada/noir@v1")
    assert 'name="layer" value="ada/noir@v1"' in text
    assert 'value="render">Sign in to render it' in text
    assert "Save as pack" not in text
    answer = client.post("/mixer", filled())
    assert answer.status_code == 302
    assert answer["Location"].startswith("/signin?next=%2Fmixer%3F")
    assert "a%2Bred%2Bboat" in answer["Location"]
    scripted = client.post("/mixer", filled(), headers={"HX-Request": "true"})
    assert scripted["HX-Redirect"] == answer["Location"]
    assert not Tryout.objects.exists()
    assert client.get("/mixer/strip").status_code == 302
    save = client.get("/mixer/pack?layer=ada/noir@v1")
    assert save["Location"].startswith("/signin?next=/mixer/pack%3Flayer")


def test_an_empty_desk_says_how_to_begin(as_ada: Client) -> None:
    text = page_of(as_ada, "/mixer")
    assert all(one in text for one in ("The mix is empty", "Add an adapter to render the mix."))
    assert 'value="render"' not in text


def test_buttons_change_the_mix_with_and_without_a_script(as_ada: Client, ink: Version) -> None:
    for button, after in (
        ({"drop": "0"}, ["bob/ink@v1"]),
        ({"down": "0"}, ["bob/ink@v1", "ada/noir@v1"]),
        ({"add": "ada/noir@v1"}, ["ada/noir@v1", "bob/ink@v1"]),
    ):
        form = filled("ada/noir@v1", "bob/ink@v1") | {"mute": "bob/ink@v1"} | button
        for headers in ({}, {"HX-Request": "true"}):
            moved = as_ada.post("/mixer", form, headers=headers)
            assert moved.status_code == 302
            text = page_of(as_ada, moved["Location"])
            assert re.findall(r'name="layer" value="([^"]+)"', text) == after, button
            assert "a red boat</textarea>" in text
            assert re.search(r'name="strength"[^>]* value="0.8"', text)
            assert re.search(r'name="mute" value="bob/ink@v1" checked', text)


def test_the_address_has_the_whole_mix_before_anything_is_rendered(
    client: Client, ink: Version
) -> None:
    asked = client.get("/mixer?layer=ada/noir&add=bob/ink@v1&mode=ab&prompt=fog")
    address = "layer=ada%2Fnoir%40v1&layer=bob%2Fink%40v1&strength=0.6&strength=0.6"
    assert asked["Location"].startswith(f"/mixer?{address}")
    text = page_of(
        client, f"/mixer?{address}&mode=ab&b=1&b=0.2&mute_b=ada/noir@v1&template=x{{prompt}}"
    )
    assert re.search(r'name="b"[^>]* value="0.2"', text)
    assert re.search(r'name="mute_b" value="ada/noir@v1" checked', text)
    assert re.search(r'value="ab" checked', text)
    assert 'value="x{prompt}"' in text


def test_recommended_strengths_are_drawn_on_the_sliders(as_ada: Client, neon: Version) -> None:
    Version.objects.filter(pk=neon.pk).update(strength_min=0.5, strength_max=1.0)
    text = page_of(as_ada, "/mixer?layer=ada/noir@v1")
    assert '<rect class="band" x="62.5%" width="12.5%"' in text
    assert "Recommended 0.5 to 1.0, best 0.9" in text


def test_adapters_that_fight_are_named(as_ada: Client, ink: Version) -> None:
    Adapter.objects.update(kind="style")
    text = page_of(as_ada, "/mixer?layer=ada/noir@v1&layer=bob/ink@v1&strength=0.9&strength=0.8")
    assert "conflict: both have the kind “style” and a high strength" in text
    assert "The strengths add up to 1.7." in text
    muted = "/mixer?layer=ada/noir@v1&layer=bob/ink@v1&strength=0.9&strength=0.8&mute=bob/ink@v1"
    assert "note warning" not in page_of(as_ada, muted)


def test_an_adapter_for_another_base_model_is_refused_with_the_reason(
    as_ada: Client, ink: Version
) -> None:
    Version.objects.filter(pk=ink.pk).update(family="sdxl")
    reason = "“bob/ink@v1” was not added: it is for Stable Diffusion XL"
    for answer in (
        as_ada.post("/mixer", filled("ada/noir@v1") | {"add": "bob/ink@v1"}),
        as_ada.get("/mixer?layer=ada/noir@v1&add=bob/ink@v1"),
    ):
        text = answer.content.decode()
        assert reason in text
        assert re.findall(r'name="layer" value="([^"]+)"', text) == ["ada/noir@v1"]
    answer = as_ada.post("/mixer", filled("ada/noir@v1", "bob/ink@v1"))
    assert answer.status_code == 400
    assert reason in answer.content.decode()
    assert "ada%2Fnoir%40v1" in answer["HX-Push-Url"]


def test_a_search_offers_what_fits_and_is_not_there_yet(
    as_ada: Client, ink: Version, bob: User, published: Callable[..., Adapter]
) -> None:
    published(bob, "inkwell", title="Inkwell")  # of another family
    hidden = published(bob, "inky", title="Inky", visibility="private")
    hidden.family = "miniature"
    hidden.save()
    text = page_of(as_ada, "/mixer?q=ink&layer=ada/noir@v1")
    assert re.findall(r'name="add" value="([^"]+)"', text) == ["bob/ink@v1"]
    assert re.search(r'<span class="thumb">.*<span class="tiny">bob/ink · ', text, re.DOTALL)
    text = page_of(as_ada, "/mixer?q=zebra&layer=ada/noir@v1")
    assert "No other adapter for Miniature" in text
    entered = as_ada.post("/mixer", {"layer": "ada/noir@v1", "strength": "1", "q": "ink"})
    assert 'value="bob/ink@v1"' in page_of(as_ada, entered["Location"])


def test_a_search_that_is_left_in_its_field_does_not_keep_enter_from_rendering(
    as_ada: Client, ink: Version
) -> None:
    assert 'name="searched" value="ink"' in page_of(as_ada, "/mixer?q=ink&layer=ada/noir@v1")
    sent = filled(q="ink", searched="ink")
    del sent["do"]  # Enter in any field
    assert as_ada.post("/mixer", sent)["Location"] == f"/mixer/{Tryout.objects.get().key}"


def test_a_long_prompt_stays_on_the_page_and_out_of_addresses(as_ada: Client, ink: Version) -> None:
    prompt = "猫 " * 600
    added = as_ada.post("/mixer", filled(prompt=prompt, add="bob/ink@v1"))
    page = added.content.decode()
    assert (added.status_code, added["HX-Push-Url"].count("layer=")) == (200, 2)
    assert len(added["HX-Push-Url"]) < 200
    assert prompt.strip() in page
    assert 'name="layer" value="bob/ink@v1"' in page
    for client, more in ((as_ada, {"do": "pack"}), (Client(), {})):
        refused = client.post("/mixer", filled(prompt=prompt, **more))
        assert refused.status_code == 400
        assert "too long together to carry over to the next page" in refused.content.decode()
        assert prompt.strip() in refused.content.decode()
    rendered = as_ada.post("/mixer", filled(prompt=prompt))
    assert rendered.status_code == 302
    assert prompt.strip() in page_of(as_ada, rendered["Location"])


def test_names_of_nothing_are_said_and_left_out(as_ada: Client, neon: Version) -> None:
    for name in ("ada/nothing", "nonsense", "a/b/c@d@e", "ada/noir@v9", "/"):
        text = as_ada.get("/mixer", {"layer": ["ada/noir@v1", name]}).content.decode()
        assert re.search(r'role="alert">“?\w', text), name
    answer = as_ada.post("/mixer", filled("ada/noir@v1", "ada/nothing", "\0"))
    assert answer.status_code == 400
    assert "There is no adapter “ada/nothing”" in answer.content.decode()
    assert not Tryout.objects.exists()


def test_a_private_adapter_of_another_is_not_there(as_ada: Client, ink: Version) -> None:
    ink.adapter.visibility = "private"
    ink.adapter.save()
    text = page_of(as_ada, "/mixer?add=bob/ink@v1")
    assert "There is no adapter “bob/ink”" in text
    assert 'name="layer"' not in text


def test_a_base_that_nobody_has_is_said_before_anybody_asks(
    as_ada: Client, neon: Version, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "none.toml").write_text("")
    settings.LORARY = dataclasses.replace(settings.LORARY, bases=tmp_path / "none.toml")
    text = page_of(as_ada, "/mixer?add=ada/noir@v1")
    assert "The picture will appear here" not in text
    place = text.index("This hub has no renderer for Miniature at present.")
    assert text.index('id="ask"') < place < text.index('value="render"')
    assert 'href="/help/previews#base-models"' in text
    assert re.search(r'value="render" disabled aria-describedby="unserved"', text)
    answer = as_ada.post("/mixer", filled())
    assert answer.status_code == 409
    assert "This hub has no renderer for Miniature at present." in answer.content.decode()


# --- Asking -------------------------------------------------------------------------------------


def test_a_base_that_is_here_can_be_asked_for(as_ada: Client, neon: Version) -> None:
    text = page_of(as_ada, "/mixer?add=ada/noir@v1")
    assert re.search(r'value="render" data-hx-post="/mixer"', text)


def test_asking_leads_to_a_page_that_renews_itself(as_ada: Client, neon: Version) -> None:
    answer = as_ada.post("/mixer", filled(compare="on", width="192"))
    [tryout] = Tryout.objects.all()
    assert answer["Location"] == f"/mixer/{tryout.key}"
    text = page_of(as_ada, answer["Location"])
    assert f'data-hx-get="/mixer/{tryout.key}/state?" data-hx-trigger="every 2s"' in text
    assert '<noscript><meta http-equiv="refresh"' in text
    assert "No worker for this base model is running" in text
    assert "a red boat</textarea>" in text  # without the trigger words
    assert "a red boat, noir light" in text
    assert re.search(r'name="seed" value="5"', text)
    assert re.search(r'name="width" value="192"', text)
    assert re.search(r'name="compare"[^>]* checked', text)
    assert not re.search(r'name="plain"[^>]* checked', text)


def test_a_new_seed_is_drawn_when_asked_for(as_ada: Client, neon: Version) -> None:
    as_ada.post("/mixer", filled(do="fresh"))
    [tryout] = Tryout.objects.select_related("render__recipe")
    assert tryout.render.recipe is not None
    assert tryout.render.recipe.document["seeds"] != [5]


#: What is filled in, and what is said of it.
MISFITS = [
    ({"prompt": "x" * 100_000}, "Enter at most 2000 characters; you entered 100000."),
    ({"seed": "-1"}, "Enter a whole number from 0"),
    ({"seed": "many"}, "Enter a whole number."),
    ({"width": "20"}, "Enter a multiple of 8 from 128 to 384."),
    ({"strength": "3"}, "Enter a strength from −2 to 2."),
    ({"strength": "loud"}, "Enter a strength from −2 to 2."),
    ({"strength": "nan"}, "Enter a strength from −2 to 2."),
    ({"layer": ""}, "The mix is empty. Add an adapter, or unmute one."),
    ({"mute": "ada/noir@v1"}, "The mix is empty. Add an adapter, or unmute one."),
    ({"guidance": "99"}, "Enter a number from 0 to 50."),
    ({"template": "no place"}, "Write {prompt} exactly once"),
    ({"mode": "ab"}, "A and B are the same."),
    ({"mode": "xy", "xs": "1 1"}, "Enter one to three different strengths for each axis."),
    ({"prompt": "", "template": "fog, {prompt}"}, "Describe the picture."),
]


def test_what_does_not_fit_is_said_and_nothing_is_lost(as_ada: Client, neon: Version) -> None:
    for said, sentence in MISFITS:
        answer = as_ada.post("/mixer", filled(negative="fog") | said)
        text = answer.content.decode()
        assert answer.status_code == 400, said
        assert sentence in text
        assert 'value="fog"' in text
        assert not Tryout.objects.exists()


def test_two_mixes_are_rendered_with_one_seed(as_ada: Client, ink: Version) -> None:
    form = filled("ada/noir@v1", "bob/ink@v1", mode="ab", seed="", mute_b="bob/ink@v1")
    form |= {"b": ["0.3", "1"], "mute": "bob/ink@v1"}
    asked = as_ada.post("/mixer", form)
    a, b = Tryout.objects.order_by("pk")
    assert asked["Location"] == f"/mixer/{a.key}"
    assert [[one.strength for one in each.render.layers.all()] for each in (a, b)] == [[0.8], [0.3]]
    assert a.render.recipe == b.render.recipe
    text = page_of(as_ada, asked["Location"])
    assert re.search(r'name="mute" value="bob/ink@v1" checked', text)
    assert re.search(r'value="ab" checked', text)
    for one in (a, b):
        finish(one)
    text = page_of(as_ada, f"/mixer/{b.key}/state")
    assert re.findall(r"<figcaption><span>([AB])</span>", text) == ["A", "B"]
    as_ada.post(f"/mixer/{a.key}/share")
    shared = page_of(Client(), f"/mixer/{a.key}")
    assert 'value="bob/ink@v1"' not in shared.split('id="found"')[0]  # nobody rendered it
    assert "ada/noir@v1: 0.3" in shared


def test_a_grid_is_a_table_of_pictures(as_ada: Client, ink: Version) -> None:
    form = filled("ada/noir@v1", "bob/ink@v1", mode="xy", xs="0.2 0.4", ys="1", width="128")
    asked = as_ada.post("/mixer", form)
    assert Tryout.objects.count() == 2
    for one in Tryout.objects.all():
        finish(one)
    text = page_of(as_ada, asked["Location"])
    assert re.findall(r'<th scope="col">([^<]+)<', text) == ["0.2", "0.4"]
    assert re.findall(r'<th scope="row">([^<]+)<', text) == ["1"]
    assert (
        text.split("<table")[1].split("</table")[0].count("<figure") == 4
    )  # finish() adds one at 0


def test_a_grid_stays_when_its_rows_fit_no_mix_any_more(as_ada: Client, ink: Version) -> None:
    form = filled("ada/noir@v1", "bob/ink@v1", mode="xy", xs="0.2 0.4", ys="1")
    place = as_ada.post("/mixer", form)["Location"]
    Version.objects.update(family="")
    for path in (place, f"{place}/state"):
        assert re.findall(r'<th scope="col">([^<]+)<', page_of(as_ada, path)) == ["0.2", "0.4"]


def test_a_template_has_its_own_words(as_ada: Client, neon: Version) -> None:
    as_ada.post("/mixer", filled(template="fog, {prompt}, dusk", guidance="3.5"))
    [tryout] = Tryout.objects.select_related("render__recipe")
    assert tryout.render.recipe is not None
    document = tryout.render.recipe.document
    assert (document["prompts"], document["guidance"]) == (["fog, a red boat, dusk"], 3.5)


def test_too_many_are_refused_with_the_form_kept(
    as_ada: Client, neon: Version, own_settings: Callable[..., None]
) -> None:
    own_settings(tryouts_open=1)
    as_ada.post("/mixer", filled())
    answer = as_ada.post("/mixer", filled())
    assert (answer.status_code, answer["Retry-After"]) == (429, "10")
    assert "One try-out at a time" in answer.content.decode()
    assert "a red boat</textarea>" in answer.content.decode()


# --- Looking ------------------------------------------------------------------------------------


def test_a_ready_one_shows_both_pictures_and_stops_renewing(as_ada: Client, asked: Tryout) -> None:
    finish(asked)
    text = page_of(as_ada, f"/mixer/{asked.key}/state")
    assert len(re.findall(r'src="/media/images/\d+\.png"', text)) == 2
    assert "data-hx-trigger" not in text
    assert "<figcaption><span>without the mix, same seed</span></figcaption>" in text
    assert "ada/noir@v1: 0.8" in text
    assert "Share it" in text


def test_a_running_one_shows_its_steps_and_can_be_cancelled(as_ada: Client, asked: Tryout) -> None:
    Job.objects.filter(renders=asked.render).update(state=JobState.RUNNING, done=3, total=16)
    Render.objects.filter(pk=asked.render.pk).update(state=RenderState.RUNNING)
    text = page_of(as_ada, f"/mixer/{asked.key}/state")
    assert "Rendering: step 3 of 16" in text
    assert '<progress max="16" value="3"' in text
    assert "Cancel" in text


def test_one_that_is_gone_is_asked_for_no_more(as_ada: Client, asked: Tryout) -> None:
    as_ada.post(f"/mixer/{asked.key}/remove")
    answer = as_ada.get(f"/mixer/{asked.key}/state")
    assert answer.status_code == 404
    assert b"data-hx-trigger" not in answer.content
    assert b"<html" not in answer.content


def test_one_that_waits_says_for_what(as_ada: Client, asked: Tryout) -> None:
    a_minute_ago = timezone.now() - timedelta(minutes=1)
    Job.objects.filter(renders=asked.render).update(created_at=a_minute_ago)
    text = page_of(as_ada, f"/mixer/{asked.key}/state")
    assert ">Waiting for a worker for Miniature<" in text


def test_a_failed_one_says_why(as_ada: Client, asked: Tryout) -> None:
    finish(asked, RenderState.FAILED, "The file contains numbers that are not finite.")
    text = page_of(as_ada, f"/mixer/{asked.key}")
    assert "The file contains numbers that are not finite." in text
    assert 'data-hx-trigger="every' not in text


def test_it_is_shared_closed_and_removed_by_buttons(
    as_ada: Client, asked: Tryout, bob: User
) -> None:
    finish(asked)
    place, guest = f"/mixer/{asked.key}", Client()
    guest.force_login(bob)
    assert guest.get(place).status_code == guest.get(f"{place}/state").status_code == 404
    assert guest.post(f"{place}/share").status_code == 404
    as_ada.post(f"{place}/share")
    text = page_of(as_ada, place)
    assert f"http://testserver{place}" in text
    assert "A shared mix" not in text
    text = page_of(guest, place)
    assert "A shared mix" in text
    assert "Stop sharing" not in text
    assert f"{place}/remove" not in text
    assert guest.post(f"{place}/remove").status_code == 404
    as_ada.post(f"{place}/close")
    assert guest.get(place).status_code == 404
    assert as_ada.post(f"{place}/burn").status_code == 404
    gone = as_ada.post(f"{place}/remove")
    assert "a+red+boat" in gone["Location"]  # the desk stays as it was
    assert as_ada.get(place).status_code == 404


def test_one_with_an_adapter_that_became_hidden_can_be_removed(
    as_ada: Client, ink: Version
) -> None:
    place = as_ada.post("/mixer", filled("bob/ink@v1"))["Location"]
    Adapter.objects.filter(pk=ink.adapter_id).update(visibility="private")
    assert as_ada.get(place).status_code == 404
    assert as_ada.post(f"{place}/remove")["Location"] == "/mixer"
    assert Tryout.objects.get().expires_at <= timezone.now()


def test_a_shared_picture_of_a_mature_adapter_is_blurred(as_ada: Client, asked: Tryout) -> None:
    finish(asked)
    place = f"/mixer/{asked.key}"
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
    assert f'href="/mixer/{asked.key}"' in page_of(as_ada, "/mixer")
    guest = Client()
    guest.force_login(bob)
    assert "/mixer/" + str(asked.key) not in page_of(guest, "/mixer")


def test_the_strip_renews_itself_until_nothing_is_open(as_ada: Client, asked: Tryout) -> None:
    text = page_of(as_ada, f"/mixer/{asked.key}")
    assert f'data-hx-get="/mixer/strip?key={asked.key}"' in text
    part = page_of(as_ada, f"/mixer/strip?key={asked.key}")
    assert "…" in part
    assert 'class="frame on"' in part
    finish(asked)
    part = page_of(as_ada, f"/mixer/strip?key={asked.key}")
    assert "…" not in part
    assert "/media/images/" in part
    assert 'class="frame on"' in part
    assert "data-hx-get" not in part


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
    with django_assert_max_num_queries(32):
        page_of(as_ada, "/mixer?layer=ada/noir@v1&strength=1")


def test_the_earlier_address_leads_to_the_mixer_for_good(as_ada: Client, asked: Tryout) -> None:
    for before, after in (
        ("/try?layer=ada/noir@v1&strength=1", "/mixer?layer=ada/noir@v1&strength=1"),
        (f"/try/{asked.key}?show=mature", f"/mixer/{asked.key}?show=mature"),
    ):
        answer = as_ada.get(before)
        assert (answer.status_code, answer["Location"]) == (301, after)


# --- Packs --------------------------------------------------------------------------------------


def test_a_mix_is_saved_as_a_private_pack(as_ada: Client, ink: Version) -> None:
    packs.release(ink.adapter, lora(8))  # other bytes than those of ada/noir
    Version.objects.update(family="miniature")
    Adapter.objects.filter(pk=ink.adapter_id).update(maturity="mature", kind="character")
    names = ["ada/noir@v1", "bob/ink@v2"]
    pressed = as_ada.post("/mixer", filled(*names, do="pack", width="64", height="64", steps="3"))
    assert pressed["Location"].startswith("/mixer/pack?layer=ada%2Fnoir%40v1")
    assert "Save as pack" in page_of(as_ada, pressed["Location"])
    saved = as_ada.post(pressed["Location"], {"title": "Dusk at sea"})
    assert saved["Location"] == "/packs/ada/Dusk-at-sea"
    pack = Pack.objects.get()
    assert (pack.visibility, pack.maturity) == ("private", "mature")
    assert pack.latest_version is not None
    [variant] = pack.latest_version.manifest["variants"]
    assert variant["prompt"] == "{prompt}, noir light"
    assert [(one["adapter"], one["strength"], one["role"]) for one in variant["parts"]] == [
        ("ada/noir", 0.8, "style"), ("bob/ink", 0.8, "character"),
    ]  # fmt: skip
    text = page_of(as_ada, "/packs/ada/Dusk-at-sea")
    (link,) = re.findall(r'href="(/mixer\?layer[^"]+)"', text)
    text = page_of(as_ada, link.replace("&amp;", "&"))
    assert re.findall(r'name="layer" value="([^"]+)"', text) == names
    assert 'value="{prompt}, noir light' in text
    assert re.search(r'name="steps" value="3"', text)


def test_a_pack_has_the_trigger_words_of_a_alone(as_ada: Client, ink: Version) -> None:
    Version.objects.filter(pk=ink.pk).update(trigger_words=["ink wash"])
    place = "/mixer/pack?layer=ada/noir@v1&layer=bob/ink@v1&layer=ada/none@v1&mode=ab"
    place += "&strength=0.8&strength=0.5&mute=bob/ink@v1"
    assert "There is no adapter “ada/none”." in page_of(as_ada, place)
    assert as_ada.post(place, {"title": "Dusk"}).status_code == 302
    version = Pack.objects.get().latest_version
    assert version is not None
    assert version.manifest["variants"][0]["prompt"] == "{prompt}, noir light"


def test_a_full_quota_leaves_no_pack_behind(as_ada: Client, ada: User, neon: Version) -> None:
    ada.namespace.quota_bytes = 10
    ada.namespace.save()
    answer = as_ada.post("/mixer/pack?layer=ada/noir@v1", {"title": "Dusk"})
    assert answer.status_code == 400
    assert "quota" in answer.content.decode()
    assert not Pack.objects.exists()


def test_what_cannot_be_a_pack_is_said_and_leaves_none_behind(as_ada: Client, ink: Version) -> None:
    place = "/mixer/pack?layer=ada/noir@v1&strength=0.8"
    for path, form, sentence in (
        (place, {"title": ""}, "This field is required."),
        (place, {"title": "x", "name": "a b"}, "letters, digits"),
        (f"{place}&mute=ada/noir@v1", {"title": "x"}, "The mix is empty."),
        (f"{place}&steps=many", {"title": "x"}, "Enter a whole number."),
        (f"{place}&width=64", {"title": "x"}, "height: Set width and height, or neither."),
        (f"{place}&layer=bob/ink@v1", {"title": "x"}, "bob/ink: This file is already a part."),
    ):
        answer = as_ada.post(path, form)
        assert answer.status_code == 400, path
        assert sentence in answer.content.decode(), sentence
    assert not Pack.objects.exists()
    assert as_ada.post(place, {"title": "x"}).status_code == 302
    assert "in use" in as_ada.post(place, {"title": "x"}).content.decode()
