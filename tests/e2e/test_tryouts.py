"""Stacks tried at a running hub: by the command line, in a browser, by many at once."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from previews.render.output.images import decode
from tests.browsing import DESK, PHONE, Visit, chromium
from tests.e2e.commands import CommandLine
from tests.e2e.talk import Caller, caller
from tests.e2e.trained import trained
from tests.running import RunningHub

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROMPT = "a red fox in a meadow"
MANY = 12


@pytest.fixture(scope="module")
def hub(rendering_hub: RunningHub) -> RunningHub:
    return rendering_hub


def publisher(hub: RunningHub, name: str) -> tuple[Caller, str]:
    """Somebody who has published the trained adapter, and its full name."""
    person = caller(hub, name)
    told = person.publish(trained().path.read_bytes(), "noir").document
    assert told["family"] == "miniature"
    return person, str(told["adapter"])


@pytest.fixture(scope="module")
def dora(hub: RunningHub) -> tuple[Caller, str]:
    return publisher(hub, "dora")


@pytest.fixture
def line(hub: RunningHub, dora: tuple[Caller, str], tmp_path: Path) -> CommandLine:
    return CommandLine(hub, tmp_path / "home", dora[0].token)


def keys(person: Caller) -> list[str]:
    results = person.get("/api/v1/tryouts").document["results"]
    return [str(one["key"]) for one in results]


def test_the_command_brings_the_picture_that_was_asked_for(
    line: CommandLine, dora: tuple[Caller, str], tmp_path: Path
) -> None:
    files = [tmp_path / "one.png", tmp_path / "two.png"]
    for file in files:
        words = (f"{dora[1]}:0.7", "--prompt", PROMPT, "--seed", "7", "--out", str(file))
        told = line.ask("try", *words)
        assert told["local_path"] == str(file)
        assert told["layers"] == [{"adapter": dora[1], "version": "v1", "strength": 0.7}]
    first, second = (file.read_bytes() for file in files)
    said = decode(first).document
    assert said["image"]["seed"] == 7
    assert PROMPT in said["image"]["prompt"]
    assert [one["strength"] for one in said["adapters"]] == [0.7]
    assert said["adapters"][0]["sha256"] == hashlib.sha256(trained().path.read_bytes()).hexdigest()
    assert first == second
    assert line.ask("try", dora[1], "--prompt", "x" * 3000, code=1)["error"]["code"] == (
        "validation_failed"
    )
    assert line.ask("try", "dora/nothing", "--prompt", "x", code=3)["error"]["code"] == "not_found"


def test_ctrl_c_takes_the_try_out_along(quiet_hub: RunningHub, tmp_path: Path) -> None:
    person, full_name = publisher(quiet_hub, "nina")
    line = CommandLine(quiet_hub, tmp_path / "home", person.token)
    words = [sys.executable, "-m", "lorary", "try", full_name, "--prompt", PROMPT]
    with subprocess.Popen(words, env=line.environ, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while not keys(person):
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(1)  # until the command has heard of it, too
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert keys(person) == []


def test_many_at_once_do_not_pass_the_limit(quiet_hub: RunningHub) -> None:
    person, full_name = publisher(quiet_hub, "mina")
    body: dict[str, Any] = {"layers": [{"adapter": full_name}], "prompt": PROMPT}
    with ThreadPoolExecutor(MANY) as pool:
        answers = list(pool.map(lambda _: person.post("/api/v1/tryouts", body), range(MANY)))
    assert Counter(answer.status for answer in answers) == {202: 3, 429: MANY - 3}
    assert all(answer.headers["retry-after"] for answer in answers)
    assert len(keys(person)) == 3


def test_a_mix_is_put_together_and_its_pictures_come(
    hub: RunningHub, dora: tuple[Caller, str]
) -> None:
    with chromium() as browser:
        visit = Visit(browser, hub.url, **PHONE)
        visit.join("eve", next_="/mixer")
        page = visit.page
        page.fill("#more", "noir")
        page.click(f"#found button[value='{dora[1]}@v1']")
        page.wait_for_url("**/mixer?layer=*")
        slider = "[data-dial=A] [type=range]"
        page.locator(slider).fill("0.6")
        assert page.input_value("[name=strength]") == "0.6"
        page.fill("[name=strength]", "-0.5")
        assert page.input_value(slider) == "-0.5"
        page.fill("[name=prompt]", PROMPT)
        page.fill("[name=width]", "160")
        page.press("[name=width]", "Tab")
        assert "strength=-0.5" in page.url  # before anything is rendered
        assert "width=160" in page.url
        page.evaluate("window.kept = true")
        page.click("button[value=render]")
        page.wait_for_url("**/mixer/*-*")
        page.wait_for_selector("#result figure img", timeout=90_000)
        picture = page.locator("#result picture img")
        assert picture.get_attribute("width") == "160"
        assert picture.evaluate("img => img.decode().then(() => img.naturalWidth)") > 0
        page.wait_for_selector("button:has-text('Share it')")
        page.wait_for_selector("#own .frame.on picture img")  # without a reload
        assert page.locator("#own .frame.on .blank").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.click("label:has([value=xy])")
        page.fill("[name=xs]", "0 1")
        page.click("button[value=render]")
        page.locator(".grid picture img").nth(1).wait_for(timeout=90_000)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.click("button[name=drop]")
        page.wait_for_selector("#mixer:has-text('The mix is empty')")
        assert page.evaluate("window.kept")  # without a reload
        assert not visit.faults
        visit.close()


@pytest.mark.long
def test_it_works_without_a_script(hub: RunningHub, dora: tuple[Caller, str]) -> None:
    with chromium() as browser:
        visit = Visit(browser, hub.url, **DESK, java_script_enabled=False)
        visit.join("frank", next_="/mixer")
        page = visit.page
        page.fill("#more", "noir")
        page.press("#more", "Enter")
        page.click(f"#found button[value='{dora[1]}@v1']")
        page.fill("[name=prompt]", PROMPT)
        page.fill("[name=strength]", "0.4")
        page.press("[name=strength]", "Enter")  # the first button of the form takes nothing out
        page.wait_for_url("**/mixer/*-*")
        page.wait_for_selector("#result figure img", timeout=90_000)
        page.click("button:has-text('Remove')")
        assert page.input_value("[name=prompt]") == PROMPT
        visit.close()
