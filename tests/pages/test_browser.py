"""The site in a real browser against real processes: what scripts and styles do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.browsing import DESK, PHONE, Visit, drop
from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import caller
from tests.packs import manifest, part, variant
from tests.running import RunningHub
from tests.whole import by_turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

#: Parts of this size make a file of a few hundred kilobytes travel in several.
PART = "64KiB"
#: Whether nothing has to be scrolled sideways.
FITS = "document.documentElement.scrollWidth <= innerWidth"
HELP = [
    "/help/anatomy", "/help/cli", "/help/findings", "/help/licences", "/help/previews", "/help/use"
]  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    data = tmp_path_factory.mktemp("hub") / "data"
    running = RunningHub(data, "--workers", "1", "--queues", "checks", UPLOAD_PART_BYTES=PART)
    with running:
        yield running


@pytest.fixture
def phone(browser: Browser, hub: RunningHub) -> Iterator[Visit]:
    visit = Visit(browser, hub.url, **PHONE)
    yield visit
    visit.close()


def weights(folder: Path, name: str, rank: int = 8) -> Path:
    """A file of several parts with words in its metadata."""
    metadata = {
        "ss_output_name": name,
        "ss_base_model_version": "flux1",
        "modelspec.trigger_phrase": "glass tube",
    }
    path = folder / f"{name}.safetensors"
    path.write_bytes(kohya(DENOISERS["sd1", "diffusers"], rank=rank, metadata=metadata))
    return path


@pytest.mark.parametrize("width", ["desk", "phone"])
def test_a_dropped_file_becomes_a_page(
    width: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    visit: Visit = request.getfixturevalue(width)
    visit.join(f"glass-{width}", next_="/publish")
    page, path = visit.page, weights(tmp_path, f"glass_tube-{width}")
    if width == "desk":
        drop(page, path)
    else:
        page.set_input_files("#file", path)
    page.wait_for_selector("form[data-ok]")
    assert page.input_value("[name=title]") == f"Glass tube {width}"
    assert page.input_value("[name=name]") == f"glass_tube-{width}"
    page.click("details.fold > summary")
    assert "Proven by shape: Stable Diffusion 1" in page.inner_text("form[data-ok]")
    assert page.input_value("[name=trigger]") == "glass tube"
    page.wait_for_selector("[data-name-note]:has-text('Available')")
    page.fill("[name=summary]", "Drawn in glass.")
    page.click("[data-publish-button]")
    page.wait_for_url(f"**/glass-{width}/glass_tube-{width}")
    assert page.inner_text("h1") == f"Glass tube {width}"
    assert "Drawn in glass." in page.inner_text("header.stack")
    assert page.evaluate(FITS)
    picture = page.locator("#previews img").first
    assert picture.evaluate("img => img.complete && img.naturalWidth > 0")


def test_a_pickle_is_refused_before_it_travels(desk: Visit, tmp_path: Path) -> None:
    desk.join("pickler", next_="/publish")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x80\x04\x95" + b"x" * 200_000)
    sent: list[str] = []
    desk.page.on("request", lambda r: sent.append(r.url) if r.method != "GET" else None)
    desk.page.set_input_files("#file", bad)
    desk.page.wait_for_selector("[role=alert]:has-text('pickle')")
    assert [re.sub(r".*/", "", url).partition("?")[0] for url in sent] == ["read"]


def test_a_paused_upload_goes_on_where_it_was(desk: Visit, tmp_path: Path) -> None:
    desk.join("patient", next_="/publish")
    page = desk.page
    puts: list[str] = []

    def slow(route: Any) -> None:
        puts.append(route.request.url)
        if len(puts) == 2:
            page.click("[data-pause]")
        route.continue_()

    page.route("**/parts/*", slow)
    page.set_input_files("#file", weights(tmp_path, "patience", rank=16))
    page.wait_for_selector("[data-upload-text]:has-text('Nothing is lost')")
    begun = len(puts)
    page.wait_for_timeout(300)
    assert len(puts) == begun
    assert "Resume" in page.inner_text("[data-pause]")
    page.click("[data-pause]")
    page.wait_for_selector("[data-upload-text]:has-text('SHA-256')")
    assert len(set(puts)) > 3


#: The words stand there for a second, or less when another part arrives.
KEEP_WHAT_IS_SAID = """() => {
  window.said = [];
  const lines = () => document.querySelectorAll("[data-upload-text]");
  const keep = () => { for (const line of lines()) window.said.push(line.innerText); };
  const every = { childList: true, characterData: true, subtree: true };
  new MutationObserver(keep).observe(document.body, every);
}"""


def test_a_dropped_line_is_tried_again(desk: Visit, tmp_path: Path) -> None:
    desk.join("unlucky", next_="/publish")
    page = desk.page
    tries: list[str] = []

    def fail_once(route: Any) -> None:
        tries.append(route.request.url)
        if len(tries) == 1:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/parts/*", fail_once)
    page.evaluate(KEEP_WHAT_IS_SAID)
    page.set_input_files("#file", weights(tmp_path, "unlucky"))
    page.wait_for_selector("[data-upload-text]:has-text('SHA-256')")
    assert any("Trying again" in text for text in page.evaluate("window.said"))
    assert tries.count(tries[0]) == 2
    desk.faults.clear()  # the browser itself reports the broken line


#: Gives the newest version pictures, as a worker with its base model would.
RENDER = """
from registry.models import Version
from tests.pages.pictures import render
render(Version.objects.latest("id"), "ready", 20)
"""

#: What the page has where a worker has the base model.
ADD_RECIPE_LINK = """document.querySelector("[data-about-sweep]").content.querySelector("p")
  .insertAdjacentHTML("afterend", "<p><a data-use-recipe href='/mixer?steps=8'>Use it</a></p>")"""


def test_slider_film_and_choosers_are_one_control(
    desk: Visit, hub: RunningHub, tmp_path: Path
) -> None:
    desk.join("slider", next_="/publish")
    page = desk.page
    page.set_input_files("#file", weights(tmp_path, "sweep"))
    page.wait_for_selector("form[data-ok]")
    page.click("[data-publish-button]")
    page.wait_for_url("**/slider/sweep")
    hub.manage("shell", "-c", RENDER)
    page.reload()
    assert page.get_attribute("#strength", "aria-valuetext") == "1.0, full effect"
    page.focus("#strength")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("[data-value]") == "0.75"
    page.click(".frame button[value='1']")
    assert page.input_value("#strength") == "1"
    assert page.get_attribute(".frame button[value='1']", "aria-current") == "true"
    page.evaluate(ADD_RECIPE_LINK)
    page.click("a[data-light=sweep]")
    link = page.get_attribute("dialog[open] a[data-use-recipe]", "href") or ""
    assert link.endswith("strength=0.25")
    page.keyboard.press("Escape")
    page.click("label:has(#prompt-1)")
    page.wait_for_selector(".live img[alt='a house, strength 0.25']")
    assert page.evaluate("document.activeElement.id") == "prompt-1"
    page.click("label:has(input[name=seed][value='2'])")
    page.wait_for_selector(".strip .edge:has-text('seed 2')")
    assert page.inner_text("[data-value]") == "0.25"


def test_a_very_long_prompt_stays_out_of_the_address_of_the_mixer(desk: Visit) -> None:
    page = desk.go("/mixer")
    for prompt in ("a castle", "a castle " * 230):
        page.fill("[name=prompt]", prompt)
        page.fill("[name=seed]", str(len(prompt)))
        page.keyboard.press("Tab")
        page.wait_for_url(f"**/mixer?*seed={len(prompt)}*")
        assert ("castle" in page.url) == (len(prompt) < 2000)


def test_filters_change_results_and_address_without_a_reload(desk: Visit) -> None:
    page = desk.go("/browse")
    page.evaluate("window.kept = true")
    page.fill("#words", "no such words")
    page.keyboard.press("Enter")
    page.wait_for_selector("h2:has-text('No adapter matches these filters')")
    page.wait_for_url("**/browse?q=no+such+words")  # comes after what it names
    assert page.evaluate("window.kept")
    page.go_back()
    page.wait_for_selector("#results :not(h2:has-text('No adapter'))")
    page.wait_for_url("**/browse")


def test_theme_and_density_are_kept(desk: Visit) -> None:
    page = desk.go("/browse")
    page.click("[data-theme-next]")
    page.click("[data-theme-next]")
    page.click("label:has([value=list])")
    page.reload()
    assert page.get_attribute("html", "data-theme") == "dark"
    assert page.get_attribute("[data-density]", "data-density") == "list"
    assert page.is_checked("[name=density][value=list]")


def test_slash_goes_to_the_search_and_never_inside_a_field(desk: Visit) -> None:
    page = desk.go("/browse")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.value") == "/"


def test_the_style_guide_shows_both_themes(desk: Visit) -> None:
    page = desk.go("/styleguide")
    assert page.locator("section[data-theme]:visible").count() == 2


def test_filters_are_a_drawer_on_a_phone(phone: Visit) -> None:
    page = phone.go("/browse")
    assert not page.is_visible("#facets")
    page.tap("#results .narrow-only")
    assert page.is_visible("#facets")
    page.tap("#facets .narrow-only button")
    assert not page.is_visible("#facets")


@pytest.mark.parametrize("width", ["desk", "phone"])
def test_no_page_of_a_stranger_is_wider_than_its_window(
    width: str, request: pytest.FixtureRequest
) -> None:
    visit: Visit = request.getfixturevalue(width)
    for path in ("/", "/browse", "/packs", "/signin", "/signup", "/api/docs"):
        assert visit.go(path).evaluate(FITS), path


def test_empty_frames_and_a_long_prompt_above_them_fit_a_phone(phone: Visit) -> None:
    page = phone.go("/nobody")
    page.locator(".edge span").first.evaluate("said => { said.append(' a cat'.repeat(99)); }")
    strip = page.locator(".strip").first
    assert strip.evaluate("strip => strip.scrollWidth <= strip.clientWidth")


#: Unfolds everything: what is hidden is looked at too.
OPEN = "document.querySelectorAll('details').forEach((part) => { part.open = true; })"


@pytest.mark.parametrize(
    ("window", "theme"),
    [
        pytest.param(DESK, "light", id="desk-light"),
        pytest.param(PHONE, "dark", id="phone-dark"),
        pytest.param(DESK, "dark", id="desk-dark", marks=pytest.mark.long),
        pytest.param(PHONE, "light", id="phone-light", marks=pytest.mark.long),
    ],
)
def test_nothing_on_any_page_keeps_people_out(
    browser: Browser, hub: RunningHub, window: dict[str, Any], theme: str, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    visit = Visit(browser, hub.url, **window, color_scheme=theme, bypass_csp=True)
    name = f"{theme}-{window['viewport']['width']}"
    visit.join(name, next_="/publish")
    visit.page.set_input_files("#file", weights(tmp_path, name))
    visit.page.wait_for_selector("form[data-ok]")
    visit.page.evaluate(OPEN)
    found = {"/publish filled": axe.run(visit.page).generate_report()}
    visit.page.click("[data-publish-button]")
    visit.page.wait_for_url(f"**/{name}/{name}")
    own = f"/{name}/{name}"
    pack = f"/packs{own}"
    owner = caller(hub, name)
    owner.post("/api/v1/packs", {"name": name, "title": "Dusk", "tags": ["evening"]})
    document = manifest(variant(part(own.removeprefix("/"))))
    published = owner.post(f"/api/v1{pack}/versions", {"manifest": document})
    assert published.status == 201, published.body
    derived = owner.post(f"/api/v1/adapters{own}/versions/v1/derived", {"naming": "comfyui"})
    assert derived.status == 202, derived.body
    tabs = [f"{own}?tab={tab}" for tab in ("anatomy", "files", "versions", "card", "findings")]
    asking = {"client_id": "p" * 40, "device_name": "d" * 64}
    code = owner.post("/oauth/device", asking).document["user_code"]
    forms = [
        "/publish",
        "/signin/device",
        "/signin/device?user_code=BBBB-BBBB",
        f"/signin/device?user_code={code}",
        "/uploads",
        "/settings/password",
        "/settings/tokens",
        f"/mixer?add={name}/{name}@v1&q=none",
        f"{own}/edit",
        f"{own}/recipe",
        f"{own}/versions/v1/derived/comfyui",
        f"{own}/versions/v1/edit",
        f"{own}/versions/v1/yank",
        f"{own}/versions/v1/withdraw",
        f"{own}/withdraw",
        f"{own}/aliases",
        f"{own}/related",
        f"{pack}/edit",
        f"{pack}/publish",
        f"{pack}/aliases",
        f"{pack}/versions/v1/yank",
        f"{pack}/versions/v1/withdraw",
        f"{pack}/withdraw",
        "/packs/new",
        "/styleguide",
    ]
    reads = [
        "/browse?q=none&kind=pose",
        "/browse/checkpoint",
        "/resolve",
        "/compare",
        f"/compare?a={name}/{name}&b={name}/{name}@v1",
        f"/{name}",
        "/nobody",
        *HELP,
    ]
    for turn, path in enumerate(["/", "/browse", "/packs", pack, *reads, *tabs, *forms]):
        assert visit.go(path).evaluate(FITS), path
        if theme not in by_turns(["light", "dark"], turn):
            continue
        visit.page.evaluate(OPEN)
        results = axe.run(visit.page)
        found[path] = results.generate_report() if results.violations_count else ""
    assert not {path: report for path, report in found.items() if "Rule Violated" in report}
    visit.context.close()


def test_search_and_filters_work_without_scripts(browser: Browser, hub: RunningHub) -> None:
    visit = Visit(browser, hub.url, **DESK, java_script_enabled=False)
    page = visit.go("/browse")
    page.fill("#words", "glass")
    page.click("#facets .btn.full")
    assert "q=glass" in page.url
    assert not page.is_visible("[data-theme-next]")
    visit.close()


@pytest.mark.parametrize("width", ["desk", "phone"])
def test_a_card_shows_name_and_base_model_once_in_every_density(
    width: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    visit: Visit = request.getfixturevalue(width)
    visit.join(f"dense-{width}", next_="/publish")
    page = visit.page
    page.set_input_files("#file", weights(tmp_path, f"dense_{width}"))
    page.wait_for_selector("form[data-ok]")
    page.click("[data-publish-button]")
    page.wait_for_url(f"**/dense-{width}/dense_{width}")
    for density in ("proof", "card", "list"):
        visit.context.add_cookies([{"name": "density", "value": density, "url": visit.url}])
        visit.go(f"/browse?owner=dense-{width}")
        said = page.locator(".card").first.inner_text()
        assert said.count(f"dense-{width}") == 1, density
        assert f"dense_{width}" in said, density
        assert said.count("Stable Diffusion 1") == 1, density
        assert page.evaluate(FITS), density
