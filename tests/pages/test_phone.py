"""On a phone every button and link is inside the window, also those of wide tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browsing import PHONE, Visit, chromium
from tests.builders.adapters import DENOISERS, kohya
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAME = "a_rather_long_name_of_an_adapter-" + "with_every_word_of_its_caption"
TABS = ["anatomy", "files", "versions", "card", "findings"]

#: Opens every fold and returns each control that is not wholly inside the window, and inside the
#: part of a table or of tabs that can be seen without scrolling sideways.
OUTSIDE = """() => {
  for (const part of document.querySelectorAll("details")) part.open = true;
  const controls = document.querySelectorAll("a, button, input, select, textarea, summary");
  return [...controls].filter((one) => {
    if (one.matches(".vh, .skip") || one.closest("[aria-hidden=true], .vh")) return false;
    if (!one.checkVisibility({ visibilityProperty: true })) return false;
    const { left, right } = one.getBoundingClientRect();
    const edge = one.closest(".scroll, .tabs")?.getBoundingClientRect().right ?? innerWidth;
    return left < -0.5 || right > edge + 0.5;
  }).map((one) => `${one.tagName} ${one.className} ${one.textContent.trim().slice(0, 40)}`);
}"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    data = tmp_path_factory.mktemp("hub") / "data"
    with RunningHub(data, "--workers", "1", "--queues", "checks") as running:
        yield running


@pytest.fixture(scope="module")
def phone(hub: RunningHub) -> Iterator[Visit]:
    with chromium() as browser:
        yield Visit(browser, hub.url, **PHONE)


def require_inside(page: Page, where: str) -> None:
    assert page.evaluate(OUTSIDE) == [], where
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where


def test_every_control_is_inside_the_window_of_a_phone(phone: Visit, tmp_path: Path) -> None:
    phone.join("pocket", next_="/publish")
    page = phone.page
    said = {"modelspec.trigger_phrase": "a long phrase that wakes it, " * 4, "note": "/home/a/b"}
    file = tmp_path / f"{NAME}.safetensors"
    file.write_bytes(kohya(DENOISERS["sd1", "diffusers"], rank=8, metadata=said))
    page.set_input_files("#file", file)
    page.wait_for_selector("[data-upload-text]:has-text('sent and checked')")
    require_inside(page, "the filled form")
    page.click("details.fold > summary")
    require_inside(page, "the whole form")
    page.fill("[name=name]", NAME)
    page.click("[data-publish-button]")
    page.wait_for_url(f"**/pocket/{NAME}")
    phone.go("/settings/tokens").fill("form [name=name]", "a token of a long training script")
    page.click("main form.stack button.solid")
    own = f"/pocket/{NAME}"
    deeds = ["edit", "recipe", "withdraw", "aliases", "gallery", "versions/v1/edit",
             "versions/v1/yank", "versions/v1/withdraw"]  # fmt: skip
    paths = [
        "/", "/browse", "/browse?q=none", "/pocket", "/nobody", "/publish", "/uploads",
        "/settings/tokens", "/settings/organisations", "/settings/password", "/settings/content",
        "/help/use", "/resolve",
        "/help/findings", "/help/anatomy", f"/mixer?add=pocket/{NAME}@v1&q=a",
        *(f"{own}?tab={tab}" for tab in TABS), *(f"{own}/{deed}" for deed in deeds),
    ]  # fmt: skip
    for path in paths:
        require_inside(phone.go(path), path)
    phone.go(own).click("[popovertarget=account]")
    require_inside(page, "account")
    phone.go(own).click("#use summary")
    require_inside(page, "commands")
