"""From a dropped file to a slider over its pictures, in a browser, on desk and phone."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.browsing import DESK, PHONE, Visit, chromium, drop
from tests.e2e.pictures import READY_S, difference
from tests.e2e.trained import BASES, Trained, trained
from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

#: Screenshots for whoever wants to look; the folder is not committed.
SHOTS = ROOT / "test-results"


@dataclass(frozen=True)
class Gallery:
    """A hub that renders, a browser, and a trained adapter."""

    hub: RunningHub
    browser: Browser
    work: Trained


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    work = trained()
    place = tmp_path_factory.mktemp("gallery") / "hub"
    with chromium() as browser, RunningHub(place, BASES=str(BASES)) as hub:
        yield Gallery(hub, browser, work)


@pytest.mark.parametrize(("width", "window"), [("desk", DESK), ("phone", PHONE)])
def test_a_dropped_file_becomes_a_page_with_a_sweep(
    gallery: Gallery, width: str, window: dict[str, Any]
) -> None:
    visit = Visit(gallery.browser, gallery.hub.url, **window)
    visit.join(f"anna-{width}", next_="/publish")
    page = visit.page
    if width == "desk":
        drop(page, gallery.work.path)
    else:
        page.set_input_files("#file", gallery.work.path)
    name = f"swept-{width}"
    require_filled(page, gallery.work)
    shoot(page, f"publish-{width}")
    page.click("details.fold > summary")
    page.fill("[name=name]", name)
    page.fill("[name=summary]", "Published in a browser.")
    page.click("[data-publish-button]")
    page.wait_for_url(f"**/anna-{width}/{name}")

    slider = page.locator("[data-sweep] input[type=range]")
    slider.wait_for(timeout=1000 * READY_S)
    wait_for_all(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shoot(page, f"adapter-{width}")
    sweep(page, slider)
    visit.close()


def require_filled(page: Page, work: Trained) -> None:
    """Base, rank and trigger words are in the form before anything was typed."""
    page.wait_for_selector("form[data-ok]")
    form = page.text_content("form[data-ok]") or ""
    assert page.input_value("[name=title]")
    assert page.input_value("[name=name]")
    assert f"rank {work.rank}" in (page.text_content("[data-structure]") or "")
    assert work.trigger in [field.input_value() for field in page.locator("[name=trigger]").all()]
    assert "Proven by shape: Miniature" in form


def wait_for_all(page: Page) -> None:
    """Wait until the last strength is rendered and loaded."""
    until = time.monotonic() + READY_S
    frames = page.locator("[data-sweep] .frame picture img")
    while frames.count() < 5:
        assert time.monotonic() < until
        page.wait_for_timeout(250)
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-sweep] .frame picture img')]"
        ".every((img) => img.complete && img.naturalWidth > 0)"
    )


def sweep(page: Page, slider: Locator) -> None:
    """Move the slider by keys from end to end: another picture at every strength."""
    slider.focus()
    page.keyboard.press("Home")
    seen = [live(page)]
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        seen.append(live(page))
    values, sources = zip(*seen, strict=True)
    assert [float(value) for value in values] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert len(set(sources)) == 5
    first, last = (page.request.get(sources[n]).body() for n in (0, 4))
    assert difference(first, last) >= 4
    slider.fill("2")
    assert live(page) == seen[2]
    copied = page.locator("[data-recipe=infotext]").get_attribute("data-copy") or ""
    assert ":0.5>" in copied
    slider.dispatch_event("change")
    page.reload()
    assert live(page) == seen[2]


def live(page: Page) -> tuple[str, str]:
    """Return the strength that is shown and the address of its picture."""
    shown = page.locator("[data-sweep] .live")
    source: str = shown.locator("picture img").evaluate("(img) => img.src")
    return shown.locator("[data-value]").inner_text(), source


def shoot(page: Page, name: str) -> None:
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"journey-{name}.png", full_page=True)
