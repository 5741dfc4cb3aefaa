"""Moving previews in a real browser: loaded late, playing, paused, still for reduced motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browsing import DESK, Visit
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

#: A published version with pictures and videos, as a worker leaves them.
ROWS = """
from io import BytesIO
from django.utils import timezone
from PIL import Image as Pixels
from previews.models import Recipe, Render
from previews.render import Shot
from previews.render.output import films
from previews.render.output.images import Caption
from previews.render.pictures import Picture
from previews.renders import services as renders
from registry.accounts import users
from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.models import Adapter, Version

ada = users.create_user(name="ada")
noir = adapters.create(actor=ada, name="noir", title="Noir")
version = Version.objects.create(
    adapter=noir, number=1, revision=manifests.main_of(noir), author=ada, state="published",
    published_at=timezone.now(), family="sd1",
)
Adapter.objects.filter(pk=noir.pk).update(latest_version=version, visibility="public")
plain = {"prompts": ["a cat"], "seeds": [7], "strengths": [0, 1], "steps": 8}
for rank, (base, output, extra) in enumerate(
    (("still", "image", {}), ("moving", "video", {"frames": 8, "fps": 8}))
):
    recipe = Recipe.objects.create(digest=str(rank) * 64, document={**plain, **extra, "base": base})
    render = Render.objects.create(
        version=version, recipe=recipe, state="running", base=base, output=output, rank=rank
    )
    pictures = []
    for position, strength in enumerate(plain["strengths"]):
        frames = [Pixels.new("RGB", (64, 64), (30 * n, 99, 200 * strength)) for n in range(8)]
        png = BytesIO()
        frames[0].save(png, "PNG")
        film = films.encode(frames, 8, Caption("", {})) if extra else None
        shot = Shot(position, 0, "a cat", 7, float(strength))
        pictures.append(Picture(shot, 64, 64, png.getvalue(), film))
    renders.keep_pictures(render=render, pictures=pictures)
    renders.finish(render=render)
# Another base is still to come, so the page loads the videos again and again.
recipe = Recipe.objects.create(digest="2" * 64, document={**plain, "frames": 8, "fps": 8})
Render.objects.create(
    version=version, recipe=recipe, state="running", base="later", output="video", rank=2
)
"""
PLAYERS = "[...document.querySelectorAll('[data-film-player] video')]"
# The events that change it come after the player's own state has changed.
LABEL = "document.querySelector('[data-film-player] button').ariaLabel"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    running = RunningHub(tmp_path_factory.mktemp("hub") / "data", "--workers", "1", "--no-worker")
    running.migrate()
    running.manage("shell", "--verbosity", "0", "--command", ROWS)
    with running:
        yield running


def asked_of(page: Page) -> list[str]:
    """Return a list that gets the addresses of videos when the page asks for them."""
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if one.url.endswith(".mp4") else None)
    return asked


def paused(page: Page) -> Any:
    return page.evaluate(f"{PLAYERS}.map((video) => video.paused)")


def wait_for(page: Page, expression: str) -> None:
    """Wait for a condition; ``wait_for_function`` needs `eval`, which the site's policy forbids."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(expression)


def test_videos_play_in_view_and_can_be_paused(desk: Visit) -> None:
    page = desk.page
    page.set_viewport_size({"width": 1440, "height": 500})
    asked = asked_of(page)
    desk.go("/ada/noir")
    page.wait_for_load_state("networkidle")
    assert asked == []
    height = page.evaluate("document.documentElement.scrollHeight")
    page.locator("#films figure").first.scroll_into_view_if_needed()
    wait_for(page, f"{PLAYERS}.every((video) => !video.paused && video.currentTime > 0)")
    assert len(set(asked)) == 2
    assert page.evaluate("document.documentElement.scrollHeight") == height  # nothing moved
    told = page.evaluate(f"{PLAYERS}.map(({{muted, loop, controls}}) => [muted, loop, controls])")
    assert told == [[True, True, False]] * 2
    button = page.locator("[data-film-player] button").first
    wait_for(page, f"{LABEL}.startsWith('Pause the video: a cat')")
    button.press("Enter")
    wait_for(page, f"{LABEL}.startsWith('Play the video: a cat')")
    assert paused(page) == [True, False]
    page.evaluate("scrollTo(0, 0)")
    wait_for(page, f"{PLAYERS}[1].paused")
    page.locator("#films figure").first.scroll_into_view_if_needed()
    wait_for(page, f"!{PLAYERS}[1].paused")
    assert paused(page) == [True, False]  # what was paused stays so
    page.click("[data-light=films]")
    film = page.locator("dialog video")
    film.evaluate("video => new Promise((done) => { video.ontimeupdate = () => done(); })")
    assert page.locator("dialog [data-count]").inner_text() == "2 / 2"


def test_videos_play_on_while_the_page_loads_new_ones(desk: Visit) -> None:
    page = desk.page
    desk.go("/ada/noir")
    page.locator("#films figure").first.scroll_into_view_if_needed()
    wait_for(page, f"{PLAYERS}.every((video) => !video.paused && video.currentTime > 0)")
    page.locator("[data-film-player] button").last.click()
    page.evaluate(f"{PLAYERS}.forEach((video) => {{ video.isMarked = true; }})")
    for _ in range(2):
        with page.expect_response(lambda one: "part=films" in one.url):
            pass
    page.wait_for_timeout(200)
    assert page.evaluate(f"{PLAYERS}.map((video) => video.isMarked)") == [True, True]
    assert paused(page) == [False, True]


def test_where_motion_is_unwanted_videos_wait_for_a_press(
    browser: Browser, hub: RunningHub
) -> None:
    visit = Visit(browser, hub.url, **DESK, reduced_motion="reduce")
    page = visit.page
    asked = asked_of(page)
    visit.go("/ada/noir")
    page.locator("#films figure").first.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    assert (paused(page), asked) == ([True, True], [])
    assert page.locator("#films picture img").first.is_visible()
    page.locator("[data-film-player] button").last.click()
    wait_for(page, f"!{PLAYERS}[1].paused")
    assert paused(page) == [True, False]
    visit.close()


def test_without_scripts_they_have_the_controls_of_the_browser(
    browser: Browser, hub: RunningHub
) -> None:
    visit = Visit(browser, hub.url, **DESK, java_script_enabled=False)
    page = visit.go("/ada/noir")
    film = page.locator("#films video").first
    assert film.get_attribute("controls") is not None
    assert film.get_attribute("preload") == "none"
    assert page.locator("[data-film-player] button").first.is_hidden()
    visit.close()
