"""The nodes of ``integrations/comfyui``, with a running hub and stand-ins for ComfyUI."""

from __future__ import annotations

import json
import math
import tomllib
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from anyio.from_thread import start_blocking_portal

import lorary
from lorary.client import LoraryError
from lorary.client.errors import Invalid, NotFound, Offline
from tests.builders.adapters import DENOISERS, kohya
from tests.client.fakehub import FakeHub, serving
from tests.exports.conftest import PACK, SUBJECT, VARIANTS, file_of, part

pytest.importorskip("aiohttp")
pytest.importorskip("torch")
from aiohttp import web

from tests.exports import comfyui
from tests.exports.comfyui import Comfy, Patcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.sync_api import Browser

    from tests.exports.conftest import Fair

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def comfy(fair: Fair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Comfy:
    monkeypatch.setenv("LORARY_ENDPOINT", fair.hub.url)
    monkeypatch.setenv("LORARY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LORARY_TOKEN", raising=False)
    return comfyui.imported(monkeypatch)


def model() -> Patcher:
    return Patcher(("unet.", "lora_unet_"))


def clip() -> Any:
    return SimpleNamespace(patcher=Patcher(("text_encoder.", "lora_te_")))


def node(comfy: Comfy, name: str) -> Any:
    kind = comfy.pack.NODE_CLASS_MAPPINGS[name]
    assert len(kind.RETURN_NAMES) == len(kind.RETURN_TYPES)
    return kind()


def lora(comfy: Comfy, adapter: str, version: str = "", **more: Any) -> tuple[Any, Any, str]:
    """Run the node as ComfyUI does: if the inputs are valid, by name, with its defaults."""
    kind = node(comfy, "LoraryLoadLora")
    fault = kind.VALIDATE_INPUTS(adapter=adapter)
    assert fault is True, fault
    names = {name: more.pop(name, 1.0) for name in ("strength_model", "strength_clip")}
    result: tuple[Any, Any, str] = getattr(kind, kind.FUNCTION)(
        model=more.pop("model", None) or model(), adapter=adapter, version=version, **names, **more
    )
    return result


def pack(comfy: Comfy, name: str, version: str = "", variant: str = "", **more: Any) -> Any:
    kind = node(comfy, "LoraryLoadPack")
    assert kind.VALIDATE_INPUTS(pack=name) is True
    return getattr(kind, kind.FUNCTION)(
        model=model(), pack=name, version=version, variant=variant, subject=SUBJECT, **more
    )


def test_a_lora_is_applied_from_the_cache(comfy: Comfy, tmp_path: Path) -> None:
    changed, encoder, words = lora(
        comfy, "ada/fire", "v1", clip=clip(), strength_model=0.7, strength_clip=0.4
    )
    assert (changed.strengths, encoder.patcher.strengths) == ([0.7], [0.4])
    assert words == "scarlet fire"
    (path,) = comfy.read
    assert Path(path).is_relative_to(tmp_path / "home" / "cache")
    assert Path(path).read_bytes() == file_of("ada/fire").read_bytes()
    size = Path(path).stat().st_size
    assert (size, size) in comfy.shown
    assert lora(comfy, "ada/fire", strength_model=0, strength_clip=0)[2] == words
    assert comfy.read == [path]


def test_a_pinned_version_is_loaded_offline(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = node(comfy, "LoraryLoadLora")
    revision = kind.IS_CHANGED(adapter="ada/fire", version="", strength_model=1.0)
    assert len(revision) == 40
    lora(comfy, "ada/fire", "v1")
    pack(comfy, PACK, "v1", "plain", clip=clip())
    monkeypatch.setenv("LORARY_OFFLINE", "1")
    assert lora(comfy, "ada/fire", "v1")[2] == "scarlet fire"
    assert pack(comfy, PACK, "v1", "plain", clip=clip())[0].patches
    with pytest.raises(Offline, match="v1"):
        lora(comfy, "ada/fire")
    with pytest.raises(Offline):
        lora(comfy, "ada/neon", "v1")
    assert kind.IS_CHANGED(adapter="ada/fire", version="") == ""
    assert kind.IS_CHANGED(adapter="ada/fire", version="v1") == "v1"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: one["name"])
def test_a_pack_is_applied_in_order(comfy: Comfy, variant: dict[str, Any]) -> None:
    changed, encoder, prompt, negative = pack(comfy, PACK, "v1", variant["name"], clip=clip())
    parts = variant["parts"]
    files = [Path(path).read_bytes() for path in comfy.read]
    assert files == [file_of(part["adapter"]).read_bytes() for part in parts]
    strengths = {
        strength
        for one in (changed, encoder.patcher)
        for changes in one.patches.values()
        for strength, _tensor in changes
    }
    assert strengths <= {part["strength"] for part in parts}

    def escaped(text: str) -> str:
        return text.replace("(", "\\(").replace(")", "\\)")

    assert prompt == escaped(variant["prompt"]).replace("{prompt}", SUBJECT)
    assert negative == escaped(variant["negative"])
    assert len(node(comfy, "LoraryLoadPack").IS_CHANGED(pack=PACK, version="", variant="")) == 64


def test_errors_say_what_to_do(comfy: Comfy) -> None:
    kind = node(comfy, "LoraryLoadLora")
    assert "Search" in kind.VALIDATE_INPUTS(adapter=" ")
    assert "owner/name" in kind.VALIDATE_INPUTS(adapter="no-owner")
    assert kind.VALIDATE_INPUTS(adapter=None) is True  # from another node
    assert node(comfy, "LoraryLoadPack").VALIDATE_INPUTS(pack=None) is True
    with pytest.raises(NotFound):
        lora(comfy, "ada/nothing")
    with pytest.raises(NotFound, match="no file “fp8”"):
        lora(comfy, "ada/fire", file="fp8")
    with pytest.raises(Invalid, match="Choose one: plain"):
        pack(comfy, PACK)
    with pytest.raises(Invalid, match="ada/fire v1 is for Miniature, but nothing"):
        lora(comfy, "ada/fire", model=Patcher(("diffusion_model.",)))


def test_cancel_ends_a_download_which_is_resumed(comfy: Comfy) -> None:
    comfy.is_cancelled = True
    with pytest.raises(InterruptedError):
        lora(comfy, "ada/mosaic", "v1")
    assert comfy.read == []
    comfy.is_cancelled = False
    assert lora(comfy, "ada/mosaic", "v1")[0].patches


def test_one_of_several_files_is_chosen(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> None:
    high, low = (kohya(DENOISERS["sd1", "diffusers"], rank=rank) for rank in (2, 3))
    with serving(FakeHub()) as fake:
        made = fake.publish("ada/wan", {"x_high.safetensors": high, "x_low.safetensors": low})
        for file, variant in zip(made["files"], ("high_noise", "low_noise"), strict=True):
            file |= {"variant": variant, "primary": False}
        monkeypatch.setenv("LORARY_ENDPOINT", fake.url)
        unet = model()
        for name, data in (("low_noise", low), ("x_high.safetensors", high)):
            lora(comfy, "ada/wan", "v1", file=name, model=unet)
            assert Path(comfy.read[-1]).read_bytes() == data
        with pytest.raises(Invalid, match="high_noise, low_noise"):
            lora(comfy, "ada/wan", "v1", model=unet)


def test_names_from_another_node_are_asked_for_again_unless_the_version_is_pinned(
    comfy: Comfy,
) -> None:
    for kind, name in (("LoraryLoadLora", "adapter"), ("LoraryLoadPack", "pack")):
        changed = node(comfy, kind).IS_CHANGED
        assert changed(**{name: None}, version="v1") == "v1"
        for version in ("", None):
            assert math.isnan(changed(**{name: None}, version=version))


def test_a_yanked_version_is_loaded_with_a_warning(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = kohya(DENOISERS["sd1", "diffusers"], rank=2)
    with serving(FakeHub()) as fake:
        said = {"state": "yanked", "reason": "Banding in skies."}
        fake.publish("ada/noir", {"noir.safetensors": data}, **said)
        monkeypatch.setenv("LORARY_ENDPOINT", fake.url)
        changed, _clip, _words = lora(comfy, "ada/noir", "v1", strength_model=-0.5)
        assert changed.strengths == [-0.5]
    assert "ada/noir v1 was yanked: Banding in skies." in caplog.text


def test_a_pack_without_one_of_its_parts_is_refused(fair: Fair, comfy: Comfy) -> None:
    """A look with a part less is another look."""
    with fair.owner() as hub:
        hub.push(file_of("ada/neon"), "ada/gone")
        hub.create_pack("ada/less", visibility="unlisted")
        parts = [part("gone", 0.5), part("fire", 0.5)]
        variant = {**VARIANTS[0], "name": "only", "parts": parts}
        hub.publish_pack("ada/less", {"variants": [variant]})
        hub.yank("ada/gone@v1", "Worse than fire.")
        assert pack(comfy, "ada/less")[0].patches
        hub.withdraw("ada/gone@v1", "Mistake.")
    comfy.read.clear()
    with pytest.raises(NotFound, match="ada/gone@v1 is withdrawn"):
        pack(comfy, "ada/less")
    assert comfy.read == []


def test_the_registry_gets_the_version_of_the_client() -> None:
    told = tomllib.loads((comfyui.PACK / "pyproject.toml").read_text())
    assert told["project"]["version"] == lorary.__version__
    needed = (comfyui.PACK / "requirements.txt").read_text().splitlines()
    assert told["project"]["dependencies"] == needed


APP = """
export const app = { async registerExtension(extension) {
  await extension.setup();
  for (const kind of ["LoraryLoadLora", "LoraryLoadPack"]) {
    const names = ["adapter", "pack", "version", "variant", "strength_model", "strength_clip",
      "file"];
    const node = { comfyClass: kind, widgets: names.map((name) => ({ name, value: "" })) };
    node.addWidget = (_type, name, _value, callback) => node.widgets.push({ name, callback });
    node.addDOMWidget = (name, _type, element) => {
      node.widgets.push({ name });
      document.body.append(element);
    };
    extension.nodeCreated(node);
    window[kind] = node;
  }
} };
"""
API = """
export const api = {
  apiURL: (path) => path,
  fetchApi: (path) => fetch(path),
};
"""
PAGE = '<!doctype html><script type="module" src="/extensions/lorary/search.js"></script>'


@asynccontextmanager
async def site(comfy: Comfy) -> AsyncIterator[str]:
    """Serve the routes and the script of the pack; yield the address of the page."""
    texts = {
        "/": (PAGE, "text/html"),
        "/scripts/app.js": (APP, "text/javascript"),
        "/scripts/api.js": (API, "text/javascript"),
    }

    async def text(request: web.Request) -> web.Response:
        body, kind = texts[request.path]
        return web.Response(text=body, content_type=kind)

    application = web.Application()
    application.add_routes(comfy.server.routes)
    application.add_routes([web.get(path, text) for path in texts])
    folder = comfyui.PACK / comfy.pack.WEB_DIRECTORY
    application.router.add_static("/extensions/lorary", folder)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def test_the_search_fills_the_nodes(
    comfy: Comfy, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(site(comfy)) as address,
    ):
        page = browser.new_page()
        page.goto(address)
        page.wait_for_function("window.LoraryLoadPack")
        page.evaluate(
            "window.LoraryLoadLora.widgets.find((one) => one.name === 'file').value = 'fp8'"
        )
        press = "window.{}.widgets.find((one) => one.name === 'Search').callback()"
        values = "() => Object.fromEntries(window.{}.widgets.map((one) => [one.name, one.value]))"
        page.evaluate(press.format("LoraryLoadLora"))
        page.fill("dialog input", "vaporwave")
        page.wait_for_function("document.querySelectorAll('dialog li').length === 1")
        image = page.locator("dialog li img")
        assert image.evaluate("img => img.decode().then(() => img.naturalWidth)") > 0
        page.click("dialog li button")
        page.wait_for_function("!document.querySelector('dialog')")
        page.wait_for_function("window.LoraryLoadLora.widgets[4].value")
        found = page.evaluate(values.format("LoraryLoadLora"))
        assert (found["adapter"], found["version"]) == ("ada/vaporwave", "v1")
        assert found["file"] == ""  # it was that of another adapter
        assert found["strength_model"] == found["strength_clip"] == 1
        page.evaluate(press.format("LoraryLoadPack"))
        page.click("dialog li button")
        found = page.evaluate(values.format("LoraryLoadPack"))
        assert (found["pack"], found["version"], found["variant"]) == (PACK, "v1", "plain")
        monkeypatch.setenv("LORARY_OFFLINE", "1")
        page.evaluate(press.format("LoraryLoadLora"))
        page.wait_for_function("/offline/i.test(document.querySelector('dialog p').textContent)")
        page.close()


def test_texts_of_the_hub_stay_texts_and_pasting_stays_in_the_search(
    comfy: Comfy, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        serving(FakeHub()) as fake,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(site(comfy)) as address,
    ):
        mark = "<img src=/none onerror='window.ran = true'>"
        said = {"title": mark, "trigger_words": [mark], "latest_version": mark, "cover": mark}
        fake.adapters["ada/noir"] = fake.adapter("ada/noir") | said
        monkeypatch.setenv("LORARY_ENDPOINT", fake.url)
        page = browser.new_page()
        page.goto(address)
        page.wait_for_function("window.LoraryLoadLora")
        page.evaluate("""() => {
          window.heard = [];
          for (const kind of ["keydown", "copy", "cut", "paste"])
            document.addEventListener(kind, () => window.heard.push(kind));
          window.LoraryLoadLora.widgets.find((one) => one.name === "Search").callback();
        }""")
        page.wait_for_selector("dialog li")
        assert page.inner_text("dialog b") == mark
        assert page.locator("dialog li img").count() == 1
        for kind in ("keydown", "copy", "cut", "paste"):
            page.dispatch_event("dialog input", kind, {"bubbles": True})
        assert page.evaluate("[window.heard, window.ran]") == [[], None]
        page.close()


def test_only_the_own_page_gets_answers_and_errors_are_texts(
    fair: Fair, comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(site(comfy)) as address,
    ):

        def get(path: str, place: str = "same-origin") -> tuple[int, bytes]:
            request = Request(f"{address}/lorary/{path}", headers={"Sec-Fetch-Site": place})
            try:
                with urlopen(request, timeout=60) as response:
                    return response.status, response.read()
            except HTTPError as error:
                return error.code, error.read()

        cover = "picture?what=adapters&name=ada/fire"
        paths = ("search?what=adapters", cover, "strength?name=ada/fire@v1")
        for path in paths:
            assert get(path)[0] == get(path, "none")[0] == 200
            assert get(path, "cross-site")[0] == get(path, "same-site")[0] == 403
        for name in ("ada/nothing", "../../me", "http://127.0.0.1/x", "", "ada/fire%00"):
            for what in ("adapters", "packs"):
                assert get(f"picture?what={what}&name={name}")[0] == 404
        assert json.loads(get("strength?name=ada/nothing@v1")[1]) == {"strength": None}
        with fair.owner() as hub:
            hub.edit_pack(PACK, maturity="mature")
            try:
                for rating, names in (("suggestive", []), ("mature", [PACK]), ("", [])):
                    found = json.loads(get(f"search?what=packs&q=fair&rating={rating}")[1])
                    assert [one["name"] for one in found["results"]] == names
                with pytest.raises(Invalid, match="Choose one: general"):
                    hub.packs(max_rating="none")
            finally:
                hub.edit_pack(PACK, maturity="general")
        monkeypatch.setenv("LORARY_ENDPOINT", "not an address")
        status, body = get("search?what=adapters")
        assert (status, json.loads(body)["results"]) == (200, [])
        assert "http://" in json.loads(body)["error"]
        assert get(cover)[0] == 404
    with pytest.raises(LoraryError):
        lora(comfy, "ada/fire")
