"""The publish form in a real browser: what the checks find takes the place of first guesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browsing import DESK, Visit
from tests.builders.adapters import DENOISERS, kohya
from tests.previews.sample_files.files import png
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SD1, SDXL = DENOISERS["sd1", "diffusers"], DENOISERS["sdxl", "sgm"]
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
    page.click("details.fold > summary")
    page.fill("[name=summary]", "Typed before the checks ended.")
    page.wait_for_selector(f"{FINDINGS}:has-text('the file stores 2')")
    assert page.inner_text("[data-structure]") == "LoRA, rank 4, alpha 2"
    assert page.input_value("[name=summary]") == "Typed before the checks ended."
    assert "The numbers are checked" not in page.inner_text(FINDINGS)


def test_a_refused_file_is_not_called_clear(desk: Visit, tmp_path: Path) -> None:
    file = saved(tmp_path, "broken.safetensors", kohya(SD1, alpha=float("nan")))
    desk.join("broken", next_="/publish")
    desk.page.set_input_files("#file", file)
    desk.page.wait_for_selector(f"{FINDINGS} .redline:has-text('Refused')")
    assert "No findings" not in desk.page.inner_text("main")
    desk.page.wait_for_selector("[data-bar-text]:has-text('cannot be published')")
    assert not desk.page.is_visible("[data-bar-warnings]")


def test_a_pickle_is_refused_by_name_without_a_request(desk: Visit, tmp_path: Path) -> None:
    desk.join("named", next_="/publish")
    sent: list[str] = []
    desk.page.on("request", lambda one: sent.append(one.url) if one.method != "GET" else None)
    for name in ("noir.pt", "noir.CKPT", "noir.zip"):
        desk.page.set_input_files("#file", saved(tmp_path, name, b"PK\x03\x04"))
        told = f"Pickle files can run code, so they are refused. Convert {name}"
        desk.page.wait_for_selector(f"[data-upload-text]:has-text('{told}')")
        assert desk.page.is_visible("[data-refused]")
    desk.page.click("[data-cancel]:has-text('Remove') >> nth=0")
    assert desk.page.locator("[data-upload-text]").count() == 2
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


def test_three_files_are_published_without_a_question(desk: Visit, tmp_path: Path) -> None:
    desk.join("trio", next_="/publish")
    page = desk.page
    files = [saved(tmp_path, f"{name}.safetensors", kohya(SD1, rank=rank, metadata={"made": name}))
             for rank, name in enumerate(("rain", "glass_tube", "velvet"), 4)]  # fmt: skip
    page.set_input_files("#file", files)
    page.wait_for_selector("[data-publish-button]:has-text('Publish 3 adapters')")
    page.click("[data-publish-button]")
    page.wait_for_selector("[data-done-title]:has-text('3 adapters are published')")
    links = page.locator("[data-done-list] a")
    names = [links.nth(n).inner_text() for n in range(0, 9, 3)]
    assert names == ["Rain", "Glass tube", "Velvet"]
    more = [links.nth(n).get_attribute("href") for n in (1, 2)]
    assert more == ["/trio/rain/edit", "/trio/rain/gallery"]
    assert page.evaluate("document.activeElement.dataset.doneTitle") == ""
    assert not page.is_visible("[data-bar]")
    links.nth(3).click()
    page.wait_for_url("**/trio/glass_tube")


def test_files_of_one_run_are_one_adapter_unless_the_user_says_otherwise(
    desk: Visit, tmp_path: Path
) -> None:
    desk.join("epochs", next_="/publish")
    page = desk.page
    names = ("ink-000004", "ink", "glass")
    files = [saved(tmp_path, f"{name}.safetensors", kohya(SD1, metadata={"made": name}))
             for name in names]  # fmt: skip
    page.set_input_files("#file", [*files, saved(tmp_path, "glass.txt", b"How it was made.")])
    page.wait_for_selector("[data-publish-button]:has-text('Publish 2 adapters')")
    boxes = page.locator("[data-adapters] > section")
    shown = [box.locator("[data-upload-name]").all_inner_texts() for box in boxes.all()]
    assert sorted(shown[0]) == ["ink-000004.safetensors", "ink.safetensors"]
    assert shown[1] == ["glass.safetensors", "glass.txt"]
    page.check("[name=split][value=files]")
    page.wait_for_selector("[data-publish-button]:has-text('Publish 3 adapters')")
    page.check("[name=split][value=one]")
    page.wait_for_selector("[data-bar-text]:has-text('Sent and checked.')")
    assert boxes.count() == 1
    page.click("[data-publish-button]")
    page.wait_for_url("**/epochs/*")
    page.goto(f"{page.url}?tab=files")
    assert all(f"{name}.safetensors" in page.inner_text("main") for name in names)


def test_the_next_version_is_offered_and_taken_back(desk: Visit, tmp_path: Path) -> None:
    desk.join("again", next_="/publish")
    page = desk.page
    page.set_input_files("#file", saved(tmp_path, "ink.safetensors", kohya(SD1, rank=4)))
    page.wait_for_selector("form[data-ok]")
    page.click("[data-publish-button]")
    page.wait_for_url("**/again/ink")
    desk.go("/publish")
    page.set_input_files("#file", saved(tmp_path, "ink-v2.safetensors", kohya(SD1, rank=8)))
    page.wait_for_selector("[data-publish-button]:has-text('Publish version 2')")
    page.click("[data-version-of='']")
    page.wait_for_selector("text=This looks like version 2 of Ink")
    page.fill("[name=more_words]", "typed")
    page.click("[data-version-of='again/ink']")
    page.wait_for_selector("[data-publish-button]:has-text('Publish version 2')")
    assert page.input_value("[name=more_words]") == "typed"
    page.click("[data-version-of='']")
    page.wait_for_selector("text=This looks like version 2 of Ink")
    page.click("[data-version-of='again/ink']")
    page.wait_for_selector("[data-publish-button]:has-text('Publish version 2')")
    page.click("[data-publish-button]")
    page.wait_for_url("**/again/ink")
    assert "version 2" in page.inner_text("main")


def test_a_fault_is_shown_where_it_is_and_the_rest_is_published(
    desk: Visit, tmp_path: Path
) -> None:
    desk.join("faulty", next_="/publish")
    page = desk.page
    files = [saved(tmp_path, f"{name}.safetensors", kohya(SD1, metadata={"made": f"{name} too"}))
             for name in ("fog", "mist")]  # fmt: skip
    page.set_input_files("#file", files)
    page.wait_for_selector("[data-publish-button]:has-text('Publish 2 adapters')")
    page.click("details.fold > summary >> nth=1")
    page.fill("[name=strength] >> nth=1", "99")
    page.set_input_files("[name=pictures] >> nth=1", saved(tmp_path, "mist.png", png()))
    page.click("details.fold > summary >> nth=1")
    page.click("[data-publish-button]")
    page.wait_for_selector("[data-done-title]:has-text('Published')")
    page.wait_for_selector("[data-faults]:has-text('less than or equal to 10')")
    assert page.locator("details.fold[open]").count() == 1
    assert page.evaluate("document.activeElement.dataset.faults") == ""
    page.wait_for_selector("[data-bar-text]:has-text('Correct the errors above')")
    assert page.inner_text("[data-names] >> visible=true") == "mist.png"
    assert page.evaluate("[...document.querySelectorAll('[name=pictures]')].at(-1).files.length")
    page.fill("[name=strength] >> visible=true", "0.9")
    page.click("[data-publish-button]")
    page.wait_for_selector("[data-done-title]:has-text('2 adapters are published')")


def test_a_file_that_is_published_is_not_published_again(desk: Visit, tmp_path: Path) -> None:
    desk.join("twice", next_="/publish")
    page = desk.page
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    file = saved(tmp_path, "ink.safetensors", kohya(SD1, rank=4))
    page.set_input_files("#file", file)
    page.wait_for_selector("form[data-ok]")
    page.click("[data-publish-button]")
    page.wait_for_url("**/twice/ink")
    desk.go("/publish")
    page.set_input_files("#file", file)
    page.wait_for_selector("[data-known]:has-text('This file is already v1 of Ink')")
    assert not page.is_visible("[data-publish-button]")
    assert page.locator("form[data-ok]").count() == 0
    page.click("[data-cancel]:has-text('Remove')")
    page.wait_for_selector("[data-known]", state="detached")
    other = saved(tmp_path, "wash.safetensors", kohya(SD1, rank=2))
    page.set_input_files("#file", [file, other])
    page.wait_for_selector("[data-known]")
    page.check("[name=split][value=one]")
    page.wait_for_selector("[data-known]", state="detached")
    page.wait_for_selector("[data-publish-button]:has-text('Publish')")
    page.check("[name=split][value=files]")
    page.wait_for_selector("[data-known]")
    desk.go("/publish")
    page.route("**/publish/checked?*", lambda route: route.abort())  # Publish is pressed before
    page.set_input_files("#file", [file, other])
    page.wait_for_selector("[data-bar-text]:has-text('Sent and checked')")
    page.click("[data-publish-button]:has-text('Publish 2 adapters')")
    page.wait_for_selector("[data-known]:has-text('This file is already v1 of Ink')")
    page.wait_for_selector("[data-done-title]:has-text('Published')")
    assert page.locator("[data-done-list] li").count() == 1
    desk.go("/twice")
    assert page.locator("a[href='/twice/ink-2']").count() == 0


def test_the_address_follows_the_title_until_it_is_typed(desk: Visit, tmp_path: Path) -> None:
    desk.join("title", next_="/publish")
    page = desk.page
    file = saved(tmp_path, "pytorch_lora_weights.safetensors", kohya(SD1, rank=4))
    page.set_input_files("#file", file)
    page.wait_for_selector("form[data-ok]")
    page.fill("[name=title]", "Pocket Monster: éclair")
    assert page.input_value("[name=name]") == "pocket-monster-eclair"
    assert page.locator(".proof.own").count() == 2
    source = page.locator(".evrow:has([name=name]) .proof")
    entered = "proof => getComputedStyle(proof, '::after').content"
    assert source.evaluate(entered) == '"From the title"'
    page.wait_for_selector("[data-name-note]:has-text('/title/pocket-monster-eclair')")
    first = page.get_attribute("[name=title]", "value")
    page.fill("[name=title]", str(first))
    assert page.input_value("[name=name]") == page.get_attribute("[name=name]", "value")
    assert page.locator(".proof.own").count() == 0
    page.fill("[name=title]", "Pocket Monster: éclair")
    page.fill("[name=title]", "雨")
    assert page.input_value("[name=name]") == "pocket-monster-eclair"
    page.fill("[name=name]", "mine")
    assert source.evaluate(entered) == '"Entered by you"'
    page.fill("[name=title]", "Another title")
    assert page.input_value("[name=name]") == "mine"
    page.click("[data-publish-button]")
    page.wait_for_url("**/title/mine")


def test_a_public_adapter_without_a_licence_is_told(desk: Visit, tmp_path: Path) -> None:
    desk.join("unlicensed", next_="/publish")
    page = desk.page
    file = saved(tmp_path, "ink.safetensors", kohya(SD1, rank=5))
    page.set_input_files("#file", file)
    told = "[data-bar-text]:has-text('Sent and checked. No licence is stated.')"
    # It may have a warning: other tests publish similar weights.
    fine = "[data-bar-text]:has-text('Sent and checked.'):not(:has-text('No licence'))"
    page.wait_for_selector(told)
    page.select_option("[name=licence]", "CC0-1.0")
    page.wait_for_selector(fine)
    page.select_option("[name=licence]", "")
    page.click("details.fold > summary")
    page.select_option("[name=visibility]", "private")
    page.wait_for_selector(fine)
    desk.go("/uploads")
    page.click("a[href*='/publish?upload=']")
    page.wait_for_selector(told)
    page.select_option("[name=licence]", "CC0-1.0")
    page.wait_for_selector(fine)


def test_the_bar_hides_no_field_that_has_the_focus(desk: Visit, tmp_path: Path) -> None:
    desk.join("keys", next_="/publish")
    page = desk.page
    page.set_input_files("#file", saved(tmp_path, "ink.safetensors", kohya(SD1, rank=4)))
    page.wait_for_selector("form[data-ok]")
    page.focus("[name=title]")
    bottom = "document.activeElement.getBoundingClientRect().bottom"
    bar = "document.querySelector('[data-bar]').getBoundingClientRect().top"
    for _ in range(8):
        assert page.evaluate(f"{bottom} <= {bar}"), page.evaluate("document.activeElement.name")
        page.keyboard.press("Tab")


def test_warnings_are_counted_where_the_button_is(desk: Visit, tmp_path: Path) -> None:
    desk.join("warned", next_="/publish")
    page = desk.page
    said = {"ss_base_model_version": "flux1"}
    files = [saved(tmp_path, "one.safetensors", kohya(SD1, rank=4)),
             saved(tmp_path, "other.safetensors", kohya(SDXL, rank=1, metadata=said))]  # fmt: skip
    page.set_input_files("#file", files)
    page.wait_for_selector("[data-publish-button]:has-text('Publish 2 adapters')")
    page.wait_for_selector("[data-bar-text]:has-text('Sent and checked.')")
    assert "Nothing is missing" not in page.inner_text("[data-bar]")
    count = page.locator("[data-findings] .redline").count() + 1
    assert page.inner_text("[data-bar-warnings]") == f"{count} warnings"
    assert not page.is_visible("[data-mixed]")
    page.check("[name=split][value=one]")
    page.wait_for_selector("[data-mixed]:has-text('for Stable Diffusion XL')")
    page.click("[data-bar-warnings]")
    assert page.evaluate("'mixed' in document.activeElement.dataset")
