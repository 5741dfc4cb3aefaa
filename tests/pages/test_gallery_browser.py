"""Bringing pictures in a real browser, read by a real worker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browsing import PHONE, Visit, chromium
from tests.pages.files import lora
from tests.previews.sample_files import files
from tests.running import RunningHub

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def publish(page: Page, weights: Path, *pictures: Path) -> None:
    """Publish a file and pictures that were made by whoever is signed in."""
    weights.write_bytes(lora())
    page.set_input_files("#file", weights)
    page.wait_for_selector("form[data-ok]")
    page.set_input_files("[name=pictures]", pictures)
    assert page.locator("[data-names] li").all_inner_texts() == [one.name for one in pictures]
    page.click("[data-publish-button]")
    page.wait_for_url(f"**/{weights.stem}")


def watch_the_film(page: Page) -> None:
    """Step to the video in the open lightbox; it plays unless reduced motion is preferred."""
    page.click("dialog [data-step='1']")
    film = page.locator("dialog video")
    film.evaluate("video => new Promise((done) => { video.ontimeupdate = () => done(); })")
    told = film.evaluate("video => [video.muted, video.loop, video.videoWidth]")
    assert told == [True, True, 64]
    page.emulate_media(reduced_motion="reduce")
    page.click("dialog [data-step='1']")
    page.click("dialog [data-step='1']")
    page.wait_for_timeout(300)
    assert film.evaluate("video => [video.hidden, video.paused]") == [False, True]


def reveal(page: Page, address: str, rated: str) -> None:
    """Show a hidden picture of a gallery where it is; none if it was deleted meanwhile."""
    page.goto(address)
    assert page.locator(f"{rated} picture").count() == 0
    page.route(re.compile("&part"), lambda route: route.fulfill(body="<p>Gone.</p>"))
    page.locator(f"{rated} .reveal").press("Enter")
    page.wait_for_selector(rated, state="detached")
    page.unroute_all()
    page.goto(address)
    page.locator(f"{rated} .reveal").press("Enter")
    picture = page.locator(f"{rated} picture img")
    assert picture.evaluate("img => img.decode().then(() => img.naturalWidth)") == 96
    assert page.url == address
    assert page.evaluate("document.activeElement.matches('[data-sample] a')")


def test_chosen_files_are_sent_read_and_shown_or_refused(tmp_path: Path) -> None:
    brought = {
        "night.png": files.png(),
        "walk.mp4": files.film(),
        "evil.png": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "half.jpg": files.encoded(files.photo(), "JPEG")[:-200],
    }
    for name, data in brought.items():
        (tmp_path / name).write_bytes(data)
    with (
        RunningHub(tmp_path / "hub", "--workers", "1", "--queues", "checks") as hub,
        chromium() as browser,
    ):
        visit = Visit(browser, hub.url, **PHONE)
        visit.join("ada", next_="/publish")
        page = visit.page
        publish(page, tmp_path / "noir.safetensors", tmp_path / "night.png")
        page.set_input_files("#files", [tmp_path / name for name in brought if name != "night.png"])
        page.wait_for_selector("[data-log] .err:has-text('evil.png: Files of type SVG')")
        page.wait_for_selector("#prints .err:has-text('half.jpg: The file is incomplete')")
        page.wait_for_selector("#prints [data-film]")
        page.wait_for_selector("#prints:not([data-hx-get])")
        picture = page.locator("#prints picture img")
        picture.scroll_into_view_if_needed()  # it is loaded lazily
        assert picture.evaluate("img => img.decode().then(() => img.naturalWidth)") == 96
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.click("#prints a[data-light]:has(picture)")
        page.wait_for_selector("dialog[open] img[src$='.webp']")
        assert page.locator("dialog [data-count]").inner_text() == "1 / 2"
        assert "uploaded by ada" in page.locator("dialog [data-about]").inner_text().lower()
        watch_the_film(page)
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog:not([open])", state="attached")

        (tmp_path / "wild.png").write_bytes(files.png(files.chunk(b"tEXt", b"Title\0wild")))
        page.select_option("#maturity", "explicit")
        page.set_input_files("#files", tmp_path / "wild.png")
        rated = "[data-sample]:has(.chip:has-text('Explicit'))"
        page.wait_for_selector(f"{rated} img:not(.blur)")
        address = page.url
        visit.close()
        stranger = Visit(browser, hub.url, **PHONE)
        reveal(stranger.page, address, rated)
        stranger.close()
