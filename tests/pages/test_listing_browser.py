"""Lists in a real browser: results while typing, long lists, going back to a place in them."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest

from tests.browsing import Visit
from tests.builders import foreign
from tests.builders.modules import header
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ADAPTERS = 160
STATUS = "#results [role=status]"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    running = RunningHub(tmp_path_factory.mktemp("hub") / "data", "--workers", "1", "--no-worker")
    running.migrate()
    running.manage("generate", "--adapters", str(ADAPTERS), "--seed", "3")
    with running:
        yield running


def active(page: Page) -> list[object]:
    """Return id, caret and text of the focused field."""
    found: list[object] = page.evaluate(
        "() => (({ id, selectionStart, value }) => [id, selectionStart, value])"
        "(document.activeElement)"
    )
    return found


def test_results_filters_and_address_follow_the_typing(desk: Visit) -> None:
    page = desk.go("/browse")
    everything = page.inner_text(STATUS)
    begun = page.evaluate("history.length")
    page.click("#words")
    page.keyboard.type("glas", delay=400)  # several requests
    page.wait_for_url("**/browse?q=glas")
    page.keyboard.type("s")
    page.wait_for_url("**/browse?q=glass")
    found = page.inner_text(STATUS)
    assert found != everything
    assert active(page) == ["words", 5, "glass"]
    assert page.evaluate("history.length") == begun + 1
    option = page.locator("#facets [name=kind]:not([value=''])").first
    kind = option.get_attribute("value")
    option.check()
    page.wait_for_url(f"**/browse?q=glass&kind={kind}")
    assert page.evaluate("history.length") == begun + 2
    page.go_back()
    page.wait_for_url("**/browse?q=glass")
    page.wait_for_selector("[name=kind][value='']:checked")
    page.go_back()
    page.wait_for_selector(f"{STATUS}:has-text('{everything}')")
    assert page.input_value("#words") == ""


def test_a_search_without_connection_is_kept_and_tried_again(
    browser: Browser, hub: RunningHub
) -> None:
    visit = Visit(browser, hub.url)
    page = visit.go("/browse")
    before = page.inner_text(STATUS)
    visit.context.set_offline(True)
    page.fill("#words", "glass")
    page.wait_for_selector("#results > .failure:has-text('cannot be reached')")
    assert page.inner_text(STATUS) == before
    visit.context.set_offline(False)
    page.click("text=Try again")
    page.wait_for_url("**/browse?q=glass")
    assert page.input_value("#words") == "glass"
    assert page.is_hidden("#results > .failure")
    visit.context.close()  # htmx logs the failure as an error


def test_a_list_grows_until_show_more_and_going_back_finds_the_place(desk: Visit) -> None:
    page = desk.go("/browse")
    card = page.locator(".cards .card")
    for pages in range(2, 7):
        page.locator("footer").scroll_into_view_if_needed()
        page.wait_for_selector(f".card:nth-child({pages * 24})")
    page.locator("footer").scroll_into_view_if_needed()
    assert "Show more" in page.inner_text("#pager")
    assert card.count() == 144
    assert card.locator("a").last.get_attribute("href") not in card.locator("a").evaluate_all(
        "all => all.slice(0, -1).map((one) => one.getAttribute('href'))"
    )
    assert "144" in card.last.inner_text()
    link = card.locator("h2 a").nth(100)
    link.scroll_into_view_if_needed()
    place, href = page.evaluate("scrollY"), link.get_attribute("href")
    link.click()
    page.wait_for_url(f"**{href}")
    page.go_back()
    page.wait_for_selector(".card:nth-child(144)")
    page.wait_for_timeout(500)  # scrolls after the last page came
    assert page.evaluate("scrollY") == place
    assert card.count() == 144
    assert link.get_attribute("href") == href
    page.click("#pager a")
    page.wait_for_selector(".card:nth-child(145)")
    assert page.is_hidden("#pager")


def test_keys_move_between_adapters_and_do_nothing_while_typing(desk: Visit) -> None:
    page = desk.go("/browse")
    links = page.locator(".card h2 a")

    def focused() -> str | None:
        link: str | None = page.evaluate("document.activeElement.getAttribute('href')")
        return link

    places = []
    for key in ("j", "j", "k", "ArrowRight", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
        places.append(focused())
    order = [links.nth(number).get_attribute("href") for number in range(24)]
    assert [order.index(place) for place in places[:4]] == [0, 1, 0, 1]
    assert order.index(places[4]) > 2  # the row below
    assert places[5] == places[3]
    page.keyboard.press("f")
    assert page.evaluate("document.activeElement.name") == "family"
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")
    assert page.is_hidden("#keys")
    page.keyboard.press("/")
    page.keyboard.type("jf?")
    assert active(page) == ["words", 3, "jf?"]
    assert page.is_hidden("#keys")


def test_a_dropped_checkpoint_narrows_lists_until_it_is_removed(
    desk: Visit, tmp_path: Path
) -> None:
    tensors = header(foreign.checkpoint("sdxl", "sgm", "model.diffusion_model.")).tensors
    entries = {
        name: {"dtype": one.dtype, "shape": one.shape, "data_offsets": [one.begin, one.end]}
        for name, one in tensors.items()
    }
    text = json.dumps(entries).encode()
    file = tmp_path / "ponyRealism.safetensors"
    with file.open("wb") as weights:
        weights.write(struct.pack("<Q", len(text)) + text)
        weights.truncate(8 + len(text) + max(one.end for one in tensors.values()))
    page = desk.go("/browse?sort=updated")
    everything = page.inner_text(STATUS)
    sent: list[int] = []
    page.on("request", lambda one: sent.append(len(one.post_data_buffer or b"")))
    page.click("text=Works with:")
    page.wait_for_selector("#picker:popover-open")
    page.set_input_files("#checkpoint-file", file)
    page.click("text=Show what works with Pony (Stable Diffusion XL)")
    page.wait_for_url("**/browse?sort=updated")
    page.wait_for_selector("#results :text('Works with: Pony')")
    assert page.inner_text(STATUS) != everything
    assert sum(sent) < 2 * len(text)
    page.click("[data-forget]")
    page.wait_for_selector(f"{STATUS}:has-text('{everything}')")
