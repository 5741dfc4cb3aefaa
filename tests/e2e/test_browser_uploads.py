"""Sending from a browser: nothing that arrived is lost, whatever breaks meanwhile."""

from __future__ import annotations

import hashlib
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.browsing import DESK, PHONE, Visit
from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import kill_all
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

SD1 = DENOISERS["sd1", "diffusers"]
PART = 64 * 1024
#: Bytes a second that leave the browser where a test needs time in the middle of a file.
SLOW = 600_000
#: The same where a command is run meanwhile, which takes seconds.
SLOWEST = 60_000


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    place = tmp_path_factory.mktemp("sending") / "hub"
    with RunningHub(place, "--queues", "checks", UPLOAD_PART_BYTES=str(PART)) as running:
        yield running


@pytest.fixture
def join(browser: Browser, hub: RunningHub) -> Iterator[Callable[[str], Visit]]:
    """Open a window for a new user on the page of publishing; broken lines are no fault in it."""
    visits: list[Visit] = []

    def join(name: str, window: dict[str, Any] = DESK) -> Visit:
        visits.append(Visit(browser, hub.url, **window))
        visits[-1].join(name, next_="/publish")
        return visits[-1]

    yield join
    for visit in visits:
        visit.faults = [fault for fault in visit.faults if "net::ERR_" not in fault]
        visit.close()


def weights(folder: Path, name: str, seed: str = "") -> Path:
    """A file of about 1.8 MB: some thirty parts."""
    path = folder / f"{name}.safetensors"
    path.write_bytes(kohya(SD1, rank=64, metadata={"ss_output_name": name, "seed": seed or name}))
    return path


class Line:
    """The network of a page: slow at first; one that is cut is slow no more when it is back."""

    def __init__(self, page: Page, rate: int = SLOW) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Network.enable")
        self._set(rate=rate)

    def _set(self, *, rate: int = -1, is_cut: bool = False) -> None:
        said = {"offline": is_cut, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
        self._session.send("Network.emulateNetworkConditions", said)

    def hurry(self) -> None:
        self._set()

    def cut(self) -> None:
        self._set(is_cut=True)


def parts_sent(page: Page) -> list[int]:
    """Collect the numbers of parts that the hub acknowledges from now on."""
    sent: list[int] = []

    def note(response: Any) -> None:
        found = re.search(r"/parts/(\d+)$", response.url)
        if found and response.status == 200:
            sent.append(int(found[1]))

    page.on("response", note)
    return sent


def wait_for(page: Page, words: str, timeout_s: float = 60) -> None:
    page.wait_for_selector(f"[data-upload-text]:has-text('{words}')", timeout=1000 * timeout_s)


def wait_for_parts(page: Page, sent: list[int], count: int) -> None:
    for _ in range(600):
        if len(sent) >= count:
            return
        page.wait_for_timeout(50)
    pytest.fail(f"Only {len(sent)} parts were sent.")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def require_all_sent(page: Page, path: Path) -> None:
    """The hub computed the digest of this very file from what it stored."""
    wait_for(page, "SHA-256")
    shown = page.inner_text("[data-upload-text]")
    assert digest(path)[:8] in shown
    assert digest(path)[-4:] in shown


def test_a_killed_server_costs_the_parts_under_way_and_no_more(
    hub: RunningHub, join: Callable[[str], Visit], tmp_path: Path
) -> None:
    page, path = join("kate").page, weights(tmp_path, "killed")
    sent = parts_sent(page)
    line = Line(page)
    page.set_input_files("#file", path)
    wait_for_parts(page, sent, 6)
    kill_all(hub)
    line.hurry()
    require_all_sent(page, path)
    count = -(-path.stat().st_size // PART)
    assert set(sent) == set(range(1, count + 1))
    assert len(sent) <= count + 3  # answers to what was under way may be lost
    page.click("details.fold > summary")
    page.fill("[name=name]", "killed")
    page.click("[data-publish-button]")
    page.wait_for_url("**/kate/killed")


def test_the_same_file_goes_on_after_another_visit_and_no_other_does(
    join: Callable[[str], Visit], tmp_path: Path
) -> None:
    visit, path = join("rita"), weights(tmp_path, "days")
    page = visit.page
    sent = parts_sent(page)
    line = Line(page)
    page.set_input_files("#file", path)
    wait_for_parts(page, sent, 6)
    page.goto("about:blank")
    before = set(sent)
    sent.clear()
    line.hurry()

    visit.go("/publish")
    page.click("[data-waiting] a")
    page.click("a.solid:has-text('Continue')")
    assert "days.safetensors" in page.inner_text("[data-publish]")
    (tmp_path / "else").mkdir()
    twin = weights(tmp_path / "else", "days", seed="4711")
    assert twin.stat().st_size == path.stat().st_size
    for other in (weights(tmp_path, "another"), twin):
        page.set_input_files("#file", other)
        wait_for(page, "started with another file")
        assert sent == []
        assert page.locator("form[data-ok]").count() == 0
    page.set_input_files("#file", path)
    page.wait_for_selector("[data-upload-note]:has-text('was already sent')")
    require_all_sent(page, path)
    assert not before & set(sent)
    assert "not published yet" not in page.inner_text("main")
    assert "same file" not in page.inner_text(".drop")


@pytest.mark.long
def test_parts_are_compared_where_a_file_is_too_large_to_hash_at_once(
    join: Callable[[str], Visit], tmp_path: Path
) -> None:
    page, path = join("zoe").page, weights(tmp_path, "large")

    def smaller(route: Any) -> None:
        script = route.fetch()
        body = re.sub(r"(?<=const MOST_WHOLE = ).+;", "1024;", script.text())
        assert body != script.text()
        route.fulfill(response=script, body=body)

    page.route("**/js/sending.js", smaller)
    page.reload()
    sent = parts_sent(page)
    line = Line(page)
    page.set_input_files("#file", path)
    wait_for_parts(page, sent, 6)
    page.reload()
    before = set(sent)
    sent.clear()
    line.hurry()
    (tmp_path / "else").mkdir()
    twin = weights(tmp_path / "else", "large", seed="12345")
    page.set_input_files("#file", twin)
    require_all_sent(page, twin)
    assert len(sent) == -(-twin.stat().st_size // PART)  # a new upload, and all of it
    sent.clear()
    page.set_input_files("#file", path)
    page.wait_for_selector("[data-upload-note]:has-text('was already sent')")
    require_all_sent(page, path)
    assert not before & set(sent)


def test_a_cancelled_file_is_gone_and_the_page_is_ready_for_another(
    join: Callable[[str], Visit], tmp_path: Path
) -> None:
    page, path = join("carl").page, weights(tmp_path, "unwanted")
    asked: list[str] = []

    def agree(dialog: Any) -> None:
        asked.append(dialog.message)
        dialog.accept()

    page.on("dialog", agree)
    sent = parts_sent(page)
    line = Line(page)
    page.set_input_files("#file", path)
    wait_for_parts(page, sent, 3)
    page.click("[data-cancel]")
    page.wait_for_selector("[data-rows]", state="detached")
    assert asked == ["Cancel unwanted.safetensors? Received data is deleted."]
    assert page.locator("form[data-ok]").count() == 0
    assert page.evaluate("document.activeElement.id") == "file"
    line.hurry()
    page.click(".headline a")
    page.wait_for_selector(".cap:has-text('Cancelled')")
    page.go_back()
    other = weights(tmp_path, "wanted")
    page.set_input_files("#file", other)
    require_all_sent(page, other)


@pytest.mark.long
def test_what_waits_for_the_network_goes_on_when_it_is_back(
    join: Callable[[str], Visit], tmp_path: Path
) -> None:
    page, path = join("olga").page, weights(tmp_path, "offline")
    sent = parts_sent(page)
    line = Line(page)
    page.set_input_files("#file", path)
    wait_for_parts(page, sent, 4)
    line.cut()
    wait_for(page, "You are offline")
    assert "offline.safetensors: You are offline" in page.inner_text("[data-live]")
    line.hurry()
    wait_for(page, "SHA-256", 20)  # at once, not after the longest pause
    require_all_sent(page, path)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (507, "storage_full", "server is full"),
        pytest.param(503, "unavailable", "server is busy", marks=pytest.mark.long),
    ],
)
def test_a_full_or_busy_server_is_waited_for(
    join: Callable[[str], Visit], tmp_path: Path, status: int, code: str, said: str
) -> None:
    page, path = join(f"wim{status}").page, weights(tmp_path, f"waits-{status}")
    refused: list[str] = []

    def refuse(route: Any) -> None:
        refused.append(route.request.url)
        if len(refused) > 3:
            route.continue_()
        else:
            route.fulfill(status=status, json={"code": code, "detail": "Later."})

    page.route("**/parts/*", refuse)
    page.set_input_files("#file", path)
    wait_for(page, said)
    require_all_sent(page, path)


@pytest.mark.parametrize(
    ("status", "problem", "said"),
    [
        (
            413,
            {"code": "quota_exceeded", "detail": "No room for you."},
            "cancel the uploads that you do not",
        ),
        (413, {"code": "too_large", "detail": "At most 5 bytes."}, "Send a smaller file"),
        (
            400,
            {"code": "validation_failed", "detail": "You have 200 open uploads."},
            "Your uploads",
        ),
    ],
)
def test_a_refusal_says_what_to_do(
    join: Callable[[str], Visit],
    tmp_path: Path,
    status: int,
    problem: dict[str, str],
    said: str,
) -> None:
    page = join(f"ned{said[:2].lower()}").page
    page.route("**/api/v1/uploads", lambda route: route.fulfill(status=status, json=problem))
    page.set_input_files("#file", weights(tmp_path, "refused"))
    wait_for(page, problem["detail"])
    assert said in page.inner_text("[data-upload-text]")
    assert page.is_disabled("[data-publish-button]")


@pytest.mark.long
def test_an_upload_that_expired_meanwhile_begins_anew(
    hub: RunningHub, join: Callable[[str], Visit], tmp_path: Path
) -> None:
    page, path = join("eva").page, weights(tmp_path, "expired")
    sent = parts_sent(page)
    line = Line(page, SLOWEST)
    page.set_input_files("#file", path)
    wait_for_parts(page, sent, 3)
    hub.manage(
        "shell",
        "-c",
        "from registry.models import Upload; from registry.uploads import retention;"
        "Upload.objects.filter(path='expired.safetensors').update(expires_at='2020-01-01T00:00Z');"
        "retention.expire()",
    )
    wait_for(page, "was not finished by")
    assert "Choose the file again" in page.inner_text("[data-upload-text]")
    line.hurry()
    page.set_input_files("#file", path)
    require_all_sent(page, path)


@pytest.mark.long
def test_whoever_is_signed_out_signs_in_and_goes_on(
    join: Callable[[str], Visit], tmp_path: Path
) -> None:
    page, path = join("sven").page, weights(tmp_path, "signed")
    sent = parts_sent(page)
    line = Line(page)
    page.set_input_files("#file", path)
    wait_for_parts(page, sent, 3)
    cookies = page.context.cookies()
    page.context.clear_cookies()
    wait_for(page, "You are signed out")
    page.context.add_cookies(cookies)  # type: ignore[arg-type]  # what it gave it takes
    line.hurry()
    assert page.locator("[data-pause] use[href$='#play']").count() == 1
    page.click("[data-pause]")
    assert page.locator("[data-pause] use[href$='#pause']").count() == 1
    require_all_sent(page, path)


@pytest.mark.parametrize(
    ("width", "window"), [pytest.param("desk", DESK, marks=pytest.mark.long), ("phone", PHONE)]
)
def test_files_chosen_together_become_one_version(
    join: Callable[..., Visit], tmp_path: Path, width: str, window: dict[str, Any]
) -> None:
    page = join(f"tom-{width}", window).page
    path = weights(tmp_path, f"pair-{width}-with-a-name-that-is-longer-than-a-phone-is-wide-by-far")
    notes = tmp_path / "notes.md"
    notes.write_text("# How it was made")
    page.set_input_files("#file", [notes, path])
    page.wait_for_selector("form[data-ok]")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("details.fold > summary")
    page.fill("[name=name]", "pair")
    page.click("[data-publish-button]")
    page.wait_for_url(f"**/tom-{width}/pair")
    page.goto(f"{page.url}?tab=files")
    shown = page.inner_text("main")
    assert path.name in shown
    assert notes.name in shown


@pytest.mark.long
def test_uploads_are_cancelled_without_a_script(
    browser: Browser, hub: RunningHub, join: Callable[[str], Visit], tmp_path: Path
) -> None:
    page, path = join("nora").page, weights(tmp_path, "silent")
    sent = parts_sent(page)
    Line(page)
    page.set_input_files("#file", path)
    wait_for_parts(page, sent, 2)
    state: Any = page.context.storage_state()
    page.goto("about:blank")
    plain = Visit(browser, hub.url, **PHONE, java_script_enabled=False, storage_state=state)
    listed = plain.go("/uploads")
    assert "of 1.8 MB received" in listed.inner_text("main")
    listed.click("text=Cancel: silent.safetensors")
    listed.click("main button.solid")
    assert "is cancelled" in listed.inner_text("main")
    assert "cancelled" in listed.inner_text("main ul").lower()
    plain.close()
