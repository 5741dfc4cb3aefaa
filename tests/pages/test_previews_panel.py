"""The picture side of an adapter page, state by state."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from hub.pages.labels import duration
from previews.models import Image, Recipe, Render
from registry.models import Blob, Job, Version, Worker
from tests.pages.pictures import DOCUMENT, render

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db


def panel(client: Client, query: str = "") -> str:
    return client.get(f"/ada/noir/previews?v=v1{query}").content.decode()


def test_ready_pictures_make_a_slider(client: Client, v1: Version) -> None:
    render(v1, "ready", 20)
    page = panel(client)
    assert 'type="range" min="0" max="4"' in page
    assert "no adapter, same seed" in page
    assert "Recommended 0.7 to 1.0, best 0.9" in page
    assert "every" not in page


def test_prompt_and_seed_are_chosen_on_the_server_too(client: Client, v1: Version) -> None:
    render(v1, "ready", 20)
    page = client.get("/ada/noir?prompt=1&seed=2&at=2").content.decode()
    assert 'alt="a house, strength 0.5"' in page
    assert 'name="at" type="range" min="0" max="4" step="1" value="2"' in page


def test_many_prompts_are_chosen_by_their_pictures(client: Client, v1: Version) -> None:
    row = render(v1, "ready", 20)
    for number, image in enumerate(row.images.filter(prompt_index=1)[:4]):
        image.prompt, image.prompt_index, image.strength = f"prompt {number}", number + 2, 1.0
        image.save()
    page = " ".join(panel(client, "&prompt=2").split())
    assert "All prompts, with the adapter" in page
    links = re.findall(r'href="/ada/noir\?v=v1&amp;prompt=(\d)" title="([^"]+)"', page)
    assert [number for number, _prompt in links] == [str(number) for number in range(len(links))]
    assert [prompt for _number, prompt in links][:1] == ["a cat"]
    assert {f"prompt {number}" for number in range(4)} < {prompt for _number, prompt in links}
    assert page.count('aria-current="true"') == 2  # the prompt, and the strength
    render(v1, "ready", 20)
    assert "All prompts, with the adapter" not in panel(client)


def several_bases(version: Version, states: dict[str, str]) -> None:
    """Give a version pictures of four prompts with each base, and its newest render a state."""
    version.renders.all().delete()
    blob, _made = Blob.objects.get_or_create(sha256="1" * 64, defaults={"size_bytes": 1})
    for rank, (base, state) in enumerate(states.items()):
        document = {**DOCUMENT, "base": base, "prompts": list("abcd")}
        recipe = Recipe.objects.create(digest=str(rank + 1) * 64, document=document)
        columns = {"version": version, "recipe": recipe, "base": base, "rank": rank}
        row = Render.objects.create(state="ready", **columns)
        for position, (strength, prompt) in enumerate(product((0, 1), range(4))):
            Image.objects.create(
                render=row, blob=blob, position=position, seed=1, strength=strength, width=128,
                height=128, prompt_index=prompt, prompt="abcd"[prompt],
            )  # fmt: skip
        if state != "ready":
            Render.objects.create(state=state, **columns)


def test_links_and_refreshes_keep_the_chosen_base(client: Client, v1: Version) -> None:
    several_bases(v1, {"first": "ready", "second": "running"})
    plain, chosen = panel(client), panel(client, "&base=second")
    assert "base=" not in plain
    assert "New pictures are being rendered" not in plain
    assert chosen.count('href="/ada/noir?v=v1&amp;prompt=3&amp;base=second"') == 1
    assert 'data-hx-get="/ada/noir/previews?v=v1&amp;base=second&amp;prompt=3"' in chosen
    renewal = "/ada/noir/previews?v=v1&amp;base=second&amp;part=renewal"
    assert f'data-hx-get="{renewal}"' in chosen
    part = client.get(renewal.replace("&amp;", "&")).content.decode()
    assert "New pictures are being rendered" in part
    Render.objects.filter(state="running").update(state="ready")
    part = client.get(renewal.replace("&amp;", "&")).content.decode()
    assert 'href="/ada/noir?v=v1&amp;base=second"' in part


def test_running_pictures_are_asked_for_again(client: Client, v1: Version) -> None:
    render(v1, "running", 3)
    page = panel(client)
    assert 'data-hx-trigger="every 1s"' in page
    assert "3 of 20 pictures rendered" in page
    assert f'/media/covers/{v1.pk}.svg"' in page


def test_queued_pictures_wait_for_their_turn(client: Client, v1: Version) -> None:
    render(v1, "queued")
    page = panel(client)
    assert 'data-hx-trigger="every 2s"' in page
    assert "are in the queue" in page


def test_queued_pictures_say_what_goes_first_and_how_long_it_takes(
    client: Client, v1: Version
) -> None:
    done = render(v1, "ready", 20)
    began = timezone.now() - timedelta(minutes=10)
    Recipe.objects.update(document=DOCUMENT | {"base": "tiny"})
    done.job = Job.objects.create(
        queue="render.sd1", task="t", key="a", state="done", started_at=began,
        finished_at=began + timedelta(minutes=2),
    )  # fmt: skip
    done.save()
    Job.objects.create(queue="render.sd1", task="t", key="b", priority=10)
    Worker.objects.create(name="box:1", queues=["render.sd1"], seen_at=timezone.now())
    mine = Job.objects.create(queue="render.sd1", task="t", key="c")
    Render.objects.create(version=v1, recipe=done.recipe, state="queued", job=mine)
    page = panel(client, "&part=renewal")
    assert "1 job ahead. About 2 minutes left." in page


def test_waiting_pictures_say_why(client: Client, v1: Version) -> None:
    render(v1, "waiting", reason="waiting for a worker for SDXL")
    page = panel(client)
    assert "This hub has no renderer for Stable Diffusion 1.x at present." in page
    assert 'href="/help/previews#base-models"' in page
    assert "can be downloaded" in page
    assert ">Try it<" not in client.get("/ada/noir").content.decode()
    assert 'id="base-models"' in client.get("/help/previews").content.decode()


def test_pictures_of_a_base_that_is_served_say_what_they_wait_for(
    client: Client, v1: Version
) -> None:
    Version.objects.update(family="miniature")
    render(v1, "waiting", reason="waiting for a paused worker")
    assert "Waiting for a paused worker." in panel(client)
    assert ">Try it<" in client.get("/ada/noir").content.decode()


def test_the_owner_is_led_to_setting_the_base_model(client: Client, v1: Version) -> None:
    Version.objects.update(family="")
    render(v1, "waiting", reason="waiting for the owner to set the base model")
    assert "its base model is not set" in panel(client)
    assert "Set the base model" not in panel(client)
    client.force_login(v1.author)
    assert 'href="/ada/noir/versions/v1/edit"' in panel(client)


def test_failed_pictures_say_why_and_the_owner_may_try_again(
    client: Client, ada: User, v1: Version
) -> None:
    render(v1, "failed", reason="The worker ran out of memory.")
    page = panel(client)
    assert "The worker ran out of memory." in page
    assert "Render again" not in page
    client.force_login(ada)
    assert "Render again" in panel(client)


def test_asking_again_queues_a_render(client: Client, ada: User, v1: Version) -> None:
    Version.objects.update(family="miniature")
    v1.refresh_from_db()
    old = render(v1, "failed", reason="x")
    client.force_login(ada)
    assert 'class="btn">Render again' in panel(client)
    assert client.post("/ada/noir/previews?v=v1").status_code == 302
    assert v1.renders.exclude(pk=old.pk).exists()


def test_nobody_asks_for_a_base_that_nobody_serves(client: Client, ada: User, v1: Version) -> None:
    old = render(v1, "failed", reason="x")
    client.force_login(ada)
    page = panel(client)
    assert "This hub has no renderer for Stable Diffusion 1" in page
    assert 'disabled aria-describedby="unserved">Render again' in page
    answer = client.post("/ada/noir/previews?v=v1")
    assert answer.status_code == 409
    assert "This hub has no renderer for Stable Diffusion 1" in answer.content.decode()
    assert list(v1.renders.all()) == [old]


def test_strangers_ask_for_nothing(client: Client, bob: User, v1: Version) -> None:
    assert client.post("/ada/noir/previews?v=v1").headers["Location"].startswith("/signin")
    client.force_login(bob)
    assert client.post("/ada/noir/previews?v=v1").status_code == 403


def test_the_panel_is_not_kept_by_browsers(client: Client, noir: Adapter) -> None:
    assert "no-store" in client.get("/ada/noir/previews").headers["Cache-Control"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (89, "89 seconds"), (100, "2 minutes"), (7200, "2 hours")],
)
def test_times_are_told_in_the_largest_unit_that_says_enough(seconds: int, words: str) -> None:
    assert duration(seconds) == words
