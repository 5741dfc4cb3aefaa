"""A newcomer comes from the first page to her own subject in a look, without an account."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browsing import DESK, PHONE, Visit, chromium
from tests.e2e.talk import Caller, caller
from tests.e2e.trained import trained
from tests.packs import manifest, part
from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SUBJECT = "a fox in the snow"


@pytest.fixture(scope="module")
def hub(rendering_hub: RunningHub) -> RunningHub:
    """A hub that renders, with two packs whose previews and sheets are queued."""
    person = caller(rendering_hub, "lola")
    adapter = str(person.publish(trained().path.read_bytes(), "noir").document["adapter"])
    for name, strength in (("soft", 0.5), ("strong", 1.0)):
        pack(person, adapter, name, strength)
    return rendering_hub


def pack(person: Caller, adapter: str, name: str, strength: float) -> None:
    variant: dict[str, Any] = {
        "name": "mini", "family": "miniature", "output": "image",
        "prompt": f"{{prompt}}, {trained().trigger}",
        "parts": [part(adapter, strength=strength)],
    }  # fmt: skip
    made = person.post("/api/v1/packs", {"name": name, "title": name.title()})
    assert made.status == 201
    document = {"manifest": manifest(variant)}
    assert person.post(f"/api/v1/packs/lola/{name}/versions", document).status == 201


def test_from_the_first_page_to_a_picture_with_one_click_and_one_field(hub: RunningHub) -> None:
    with chromium() as browser:
        visit = Visit(browser, hub.url, **PHONE)
        page = visit.go("/")
        page.click(".look:has-text('Soft')")
        page.fill("#subject", SUBJECT)
        held: list[Any] = []

        def hold(route: Any) -> None:
            held.append(route)

        page.route("**/packs/try", hold)
        page.press("#subject", "Enter")
        page.wait_for_selector(".search .btn.htmx-request")  # the button is busy
        held[0].continue_()
        page.wait_for_selector("#tried .panel, #tried figure")
        page.wait_for_selector(".search .btn:not(.htmx-request)")
        places = "id => document.querySelector(id).getBoundingClientRect().top / innerHeight"
        assert [-0.1 < page.evaluate(places, id_) < 0.5 for id_ in ("#subject", "#tried")] == [
            True
        ] * 2
        page.unroute("**/packs/try")
        page.wait_for_selector("#tried figure + figure img", timeout=90_000)
        assert page.locator("#tried figcaption").all_inner_texts() == [
            "without the pack, same seed", "Soft",
        ]  # fmt: skip
        for image in page.locator("#tried picture img").all():
            assert image.evaluate("img => img.decode().then(() => img.naturalWidth)") > 0
        page.wait_for_selector("#tries .frame picture img")
        address = page.locator("#tried code").inner_text()
        assert page.input_value("#subject") == SUBJECT
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.click("#tried button:has-text('Again with another seed')")
        page.wait_for_selector("#tries .frame + .frame", timeout=90_000)
        friend = Visit(browser, hub.url, **DESK)
        friend.page.goto(address)
        assert SUBJECT in friend.page.inner_text("#tried")
        assert friend.page.locator("#tried figure").count() == 2
        assert friend.page.locator("#tries .frame").count() == 0
        friend.close()
        page.wait_for_selector("#tried button:has-text('Remove')", timeout=90_000)
        page.click("#tried button:has-text('Remove')")
        page.locator("#tries .frame").nth(1).wait_for(state="detached")
        visit.close()


@pytest.mark.long
def test_it_works_without_a_script(hub: RunningHub) -> None:
    with chromium() as browser:
        visit = Visit(browser, hub.url, **DESK, java_script_enabled=False)
        page = visit.go("/packs/lola/strong")
        page.fill("#subject", SUBJECT)
        page.press("#subject", "Enter")
        page.wait_for_url("**/packs/try/*-*")
        page.wait_for_selector("#tried figure + figure img", timeout=90_000)
        assert page.input_value("#subject") == SUBJECT
        page.click("#tried button:has-text('Remove')")
        page.wait_for_url("**/packs/lola/strong")
        visit.close()
