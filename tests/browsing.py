"""A real browser, for tests that need scripts and styles: Debian's Chromium through Playwright.

``chromium-headless-shell`` is Chromium without windows, tabs and menus. It takes half of the CPU
time; the whole browser is used where the shell is not installed.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = (
    os.environ.get("LORARY_TEST_CHROMIUM")
    or shutil.which("chromium-headless-shell")
    or shutil.which("chromium")
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESK: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium without a window; skips the test where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("chromium-headless-shell is not installed (LORARY_TEST_CHROMIUM names another)")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def drop(page: Page, path: Path) -> None:
    """Drag a file from outside over the page and let it go, as a hand would."""
    zone = page.locator(".drop").bounding_box()
    assert zone is not None
    place = {"x": zone["x"] + zone["width"] / 3, "y": zone["y"] + zone["height"] / 2}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})


class Visit:
    """A window of its own that keeps script errors and refused policies in ``faults``."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        is_answer = "Failed to load resource" in message.text  # a refusal that the page shows
        if message.type == "error" and not is_answer:
            self.faults.append(message.text)

    def go(self, path: str) -> Page:
        """Open an address of the site."""
        self.page.goto(self.url + path)
        return self.page

    def join(self, name: str, password: str = "a long enough phrase", *, next_: str = "/") -> None:
        """Make an account and go on to a page."""
        page = self.go(f"/signup?next={next_}")
        page.fill("[name=name]", name)
        page.fill("[name=email]", f"{name}@example.org")
        page.fill("[name=password]", password)
        page.click("main button.solid")
        page.wait_for_url(f"**{next_}")

    def close(self) -> None:
        """Close the window; fails when it had faults."""
        self.context.close()
        assert self.faults == []
