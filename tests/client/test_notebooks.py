"""What notebooks show of adapters, versions, packs and results of a search."""

from __future__ import annotations

import inspect
import re
from html.parser import HTMLParser
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from lorary import Hub, Unreachable
from lorary.client import Adapter, Pack, PackVersion, Results, Version
from lorary.client.packs import digest_of

if TYPE_CHECKING:
    from tests.client.fakehub import FakeHub

EVIL = '<script>alert("1")</script>\'"><img src=x onerror=alert(1)>&amp;'
MOST_BYTES = 128 * 1024
ALLOWED = {"div", "p", "strong", "a", "img", "code"}
ATTRIBUTES = {
    "style", "href", "target", "rel", "src", "alt", "loading", "referrerpolicy", "width", "height",
}  # fmt: skip


class Elements(HTMLParser):
    """The elements of a text, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def sources(self) -> list[str | None]:
        return [attributes["src"] for tag, attributes in self.found if tag == "img"]


def elements(html: str) -> Elements:
    """Read HTML, which must be harmless and short."""
    read = Elements(html)
    assert {tag for tag, _ in read.found} <= ALLOWED
    assert {name for _, attributes in read.found for name in attributes} <= ATTRIBUTES
    for _, attributes in read.found:
        for name in ("href", "src"):
            assert (attributes.get(name) or "https://").startswith(("http://", "https://"))
        assert "url(" not in (attributes.get("style") or "")
    assert len(html.encode()) <= MOST_BYTES
    # Colours are those of the notebook, light or dark.
    assert not re.search(r"\b(background|color(?!:inherit))\s*:", html)
    return read


def adapter(**said: Any) -> dict[str, Any]:
    return {
        "owner": "studio", "name": "noir", "full_name": "studio/noir", "title": "Noir",
        "kind": "style", "summary": "", "tags": [], "licence": "mit", "visibility": "public",
        "maturity": "general", "family": "sdxl", "downloads": 3, "latest_version": "v3",
        "trigger_words": ["noir style"], "url": "https://hub.example/studio/noir",
        "cover": "https://hub.example/cover.png",
        "cover_picture": {
            "url": "https://hub.example/cover.png", "maturity": "general",
            "sources": [
                {"type": "image/avif", "width": 320, "url": "https://hub.example/320.avif"},
                {"type": "image/webp", "width": 640, "url": "https://hub.example/640.webp"},
                {"type": "image/webp", "width": 320, "url": "https://hub.example/320.webp"},
            ],
        },
        **said,
    }  # fmt: skip


def version(**said: Any) -> dict[str, Any]:
    images = [
        {
            "url": f"https://hub.example/{number}.png", "prompt": "a house", "seed": 1,
            "strength": 0.8, "maturity": "general", "sources": [],
        }
        for number in range(9)
    ]  # fmt: skip
    return {
        "adapter": "studio/noir", "version": "v3", "label": "", "state": "published",
        "revision": "0" * 40, "notes": "Softer.", "family": "sdxl", "lineage": "", "rank": 16,
        "algorithm": "lora", "trigger_words": ["noir style"], "files": [], "findings": [],
        "previews": {"state": "ready", "images": images}, "published_at": "",
        "url": "https://hub.example/studio/noir?v=v3", **said,
    }  # fmt: skip


def pack(**said: Any) -> dict[str, Any]:
    return {
        "full_name": "studio/dusk", "title": "Dusk", "kind": "lighting", "summary": "",
        "tags": ["night"], "maturity": "general", "visibility": "public", "latest_version": "v2",
        "url": "https://hub.example/packs/studio/dusk", "cover": "https://hub.example/dusk.png",
        "variants": [{"name": "main", "family": "sdxl", "output": "image"}], **said,
    }  # fmt: skip


def pack_version(text: str, count: int = 1) -> dict[str, Any]:
    part = {
        "adapter": "studio/noir", "version": "v3", "file": "noir.safetensors", "sha256": "0" * 64,
        "size_bytes": 1, "strength": 0.8, "role": text, "trigger_words": [], "state": "available",
        "reason": "",
    }  # fmt: skip
    variant = {
        "name": text, "family": "sdxl", "output": "image", "prompt": "{prompt}", "negative": "",
        "settings": {}, "tested_with": {}, "rendered_with": {}, "parts": [part] * count,
        "previews": {"images": version()["previews"]["images"]},
    }  # fmt: skip
    manifest = {"variants": [text]}
    return {
        "pack": "studio/dusk", "version": "v2", "state": "published", "reason": "",
        "manifest": manifest, "manifest_sha256": digest_of(manifest), "notes": text,
        "variants": [variant] * count, "url": "https://hub.example/packs/studio/dusk",
    }  # fmt: skip


def test_an_adapter_has_its_cover_its_facts_and_a_link() -> None:
    read = elements(Adapter.read(adapter())._repr_html_())
    assert read.sources() == ["https://hub.example/320.webp"]
    assert dict(read.found)["a"]["href"] == "https://hub.example/studio/noir"
    for text in ("studio/noir", "Noir", "style · sdxl · v3 · mit", "noir style"):
        assert text in read.text


def test_a_version_has_some_of_its_previews() -> None:
    read = elements(Version.read(version())._repr_html_())
    assert read.sources() == [f"https://hub.example/{number}.png" for number in range(6)]
    assert "studio/noir@v3" in read.text
    assert "sdxl · lora · rank 16" in read.text
    gone = elements(Version.read(version(state="yanked", reason="Broken."))._repr_html_())
    assert "yanked Broken." in gone.text


def test_a_pack_and_its_version_show_variants_and_parts() -> None:
    read = elements(Pack.read(pack())._repr_html_())
    assert read.sources() == ["https://hub.example/dusk.png"]
    assert "main: sdxl, image" in read.text
    one = elements(PackVersion.read(pack_version("main"))._repr_html_())
    assert "main: studio/noir@v3 × 0.8" in one.text
    assert len(one.sources()) == 6


def test_texts_of_others_stay_texts() -> None:
    evil = dict.fromkeys(("full_name", "title", "kind", "licence", "family"), EVIL)
    values: list[Any] = [
        Adapter.read(adapter(**evil, trigger_words=[EVIL])),
        Version.read(version(adapter=EVIL, notes=EVIL, family=EVIL, trigger_words=[EVIL])),
        Pack.read(pack(full_name=EVIL, title=EVIL, tags=[EVIL])),
        PackVersion.read(pack_version(EVIL)),
    ]
    for value in values:
        assert EVIL in elements(value._repr_html_()).text


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "/cover.png", "https://" + "a" * 9000, None, 3],
)
def test_addresses_that_are_none_of_the_web_are_left_out(url: Any) -> None:
    shown = adapter(url=url if isinstance(url, str) else "", cover=url, cover_picture={"url": url})
    shown["cover_picture"]["sources"] = [{"type": "image/webp", "width": 320, "url": url}, None]
    read = elements(Adapter.read(shown)._repr_html_())
    assert {tag for tag, _ in read.found} & {"a", "img"} == set()
    previews = {"state": "ready", "images": [{"url": url if isinstance(url, str) else ""}]}
    assert elements(Version.read(version(previews=previews))._repr_html_()).sources() == []


def test_pictures_of_mature_and_private_adapters_are_not_shown() -> None:
    mature = elements(Adapter.read(adapter(cover_picture={"maturity": "mature"}))._repr_html_())
    assert mature.sources() == []
    assert "mature: picture not shown" in mature.text
    rated = adapter(maturity="explicit", cover_picture=None)
    assert elements(Adapter.read(rated)._repr_html_()).sources() == []
    assert elements(Adapter.read(adapter(visibility="private"))._repr_html_()).sources() == []
    images = [{**version()["previews"]["images"][0], "maturity": "explicit"}]
    one = Version.read(version(previews={"state": "ready", "images": images}))
    assert elements(one._repr_html_()).sources() == []


def test_the_length_is_bounded() -> None:
    long = "ä<&'\"" * 20_000
    words = [long] * 500
    url = "https://hub.example/?" + "&" * 470
    huge = Adapter.read(
        adapter(
            full_name=long, title=long, kind=long, licence=long, family=long, trigger_words=words,
            url=url, cover=url, cover_picture=None,
        )
    )  # fmt: skip
    elements(huge._repr_html_())
    elements(Results(iter([huge] * 500))._repr_html_())
    elements(Version.read(version(notes=long, trigger_words=words))._repr_html_())
    elements(PackVersion.read(pack_version(long, 60))._repr_html_())
    variants = [{"name": long, "family": long, "output": "image"}] * 300
    elements(Pack.read(pack(tags=words, variants=variants))._repr_html_())


def test_results_are_shown_and_still_iterated(hub: Hub, fake: FakeHub) -> None:
    names = [f"studio/noir{number:02}" for number in range(15)]
    for name in names:
        fake.publish(name, {"noir.safetensors": name.encode()})
    results = hub.search()
    assert next(results).full_name == names[0]
    read = elements(results._repr_html_())
    assert [name for name in names if name in read.text] == names[1:13]
    assert "There are more." in read.text
    assert elements(results._repr_html_()).text == read.text
    assert [one.full_name for one in results] == names[1:]
    assert "Nothing was found." in elements(results._repr_html_()).text


def test_a_failure_is_shown_and_raised_where_the_loop_reaches_it(hub: Hub, fake: FakeHub) -> None:
    for number in range(5):
        fake.publish(f"studio/noir{number}", {"noir.safetensors": b"%d" % number})
    results = hub.search()
    list(islice(results, 1))
    fake.answers += [("cursor", 500, {}, b"")] * 9
    assert "failed" in elements(results._repr_html_()).text
    assert next(results).full_name == "studio/noir1"
    with pytest.raises(Unreachable):
        next(results)


def test_the_text_of_results_asks_the_hub_for_nothing(hub: Hub, fake: FakeHub) -> None:
    fake.adapters = {"studio/noir": fake.adapter("studio/noir")}
    found = hub.search()
    assert "list()" in repr(found)
    assert fake.seen == []
    found._repr_html_()
    assert repr(found) == "<Results: studio/noir, …>"
    assert [one.full_name for one in found] == ["studio/noir"]


def test_signatures_have_no_addresses() -> None:
    for call in (Hub.pull, Hub.push):
        text = str(inspect.signature(call))
        assert "= silent" in text
        assert " at 0x" not in text
