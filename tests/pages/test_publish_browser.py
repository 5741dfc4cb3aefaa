"""The publish form in a real browser: what the checks find takes the place of first guesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browsing import DESK, Visit
from tests.builders.adapters import DENOISERS, kohya
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SD1 = DENOISERS["sd1", "diffusers"]
FINDINGS = "[data-stored=findings]"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    data = tmp_path_factory.mktemp("hub") / "data"
    with RunningHub(data, "--workers", "1", "--queues", "checks") as running:
        yield running


def saved(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_what_the_file_stores_replaces_what_its_header_says(desk: Visit, tmp_path: Path) -> None:
    said = {"ss_network_alpha": "4", "ss_network_dim": "4", "ss_output_name": "twofold"}
    file = saved(tmp_path, "twofold.safetensors", kohya(SD1, alpha=2.0, metadata=said))
    desk.join("twofold", next_="/publish")
    page = desk.page
    page.set_input_files("#file", file)
    page.wait_for_selector("form[data-ok]")
    page.fill("[name=summary]", "Typed before the checks ended.")
    page.wait_for_selector(f"{FINDINGS}:has-text('the file stores 2')")
    assert page.input_value("#structure") == "LoRA, rank 4, alpha 2"
    assert page.input_value("[name=summary]") == "Typed before the checks ended."
    assert "The numbers are checked" not in page.inner_text(FINDINGS)


def test_a_refused_file_is_not_called_clear(desk: Visit, tmp_path: Path) -> None:
    file = saved(tmp_path, "broken.safetensors", kohya(SD1, alpha=float("nan")))
    desk.join("broken", next_="/publish")
    desk.page.set_input_files("#file", file)
    desk.page.wait_for_selector(f"{FINDINGS} .redline:has-text('Refused')")
    assert "No findings" not in desk.page.inner_text("main")


def test_a_pickle_is_refused_by_name_without_a_request(desk: Visit, tmp_path: Path) -> None:
    desk.join("named", next_="/publish")
    sent: list[str] = []
    desk.page.on("request", lambda one: sent.append(one.url) if one.method != "GET" else None)
    for name in ("noir.pt", "noir.CKPT", "noir.zip"):
        desk.page.set_input_files("#file", saved(tmp_path, name, b"PK\x03\x04"))
        told = f"Pickle files can run code, so they are refused. Convert {name}"
        desk.page.wait_for_selector(f"[data-upload-text]:has-text('{told}')")
    assert sent == []


def test_a_published_file_is_named_at_once(
    browser: Browser, hub: RunningHub, tmp_path: Path
) -> None:
    file = saved(tmp_path, "shared.safetensors", kohya(SD1, rank=8, metadata={"made": "once"}))
    for name in ("first", "second"):
        visit = Visit(browser, hub.url, **DESK)
        visit.join(name, next_="/publish")
        visit.page.set_input_files("#file", file)
        visit.page.wait_for_selector("[data-upload-text]:has-text('sent and checked')")
        if name == "first":
            visit.page.click("[data-publish-button]")
            visit.page.wait_for_url("**/first/shared")
        else:
            visit.page.wait_for_selector(f"{FINDINGS}:has-text('first/shared v1')")
        visit.close()
