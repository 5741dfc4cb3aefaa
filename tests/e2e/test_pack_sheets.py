"""A pack's cover sheet, rendered by a real worker that is killed on the way."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from previews.render.output.images import decode
from tests.e2e.pictures import READY_S
from tests.e2e.talk import Caller, caller, kill_all
from tests.e2e.trained import BASES, trained
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PLACE = "/api/v1/packs/dora/dusk"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    data = tmp_path_factory.mktemp("hub") / "data"
    with RunningHub(data, "--workers", "1", BASES=str(BASES)) as running:
        yield running


def published(dora: Caller) -> None:
    """Publish the trained adapter, and a pack of it."""
    full_name = dora.publish(trained().path.read_bytes(), "noir").document["adapter"]
    assert dora.post("/api/v1/packs", {"name": "dusk", "title": "Dusk"}).status == 201
    variant = {
        "name": "small", "family": "miniature", "output": "image",
        "parts": [{"adapter": full_name, "strength": 0.9, "role": "style"}],
        "prompt": f"{{prompt}}, {trained().trigger}", "negative": "",
    }  # fmt: skip
    assert dora.post(f"{PLACE}/versions", {"manifest": {"variants": [variant]}}).status == 201


def sheet_when(who: Caller, is_so: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return the cover sheet once a condition holds."""
    until = time.monotonic() + 4 * READY_S
    while True:
        (variant,) = who.get(f"{PLACE}/versions/v1").document["variants"]
        found: dict[str, Any] | None = variant["previews"]
        if found and is_so(found):
            return found
        assert not found or found["state"] != "failed", found
        assert time.monotonic() < until, found
        time.sleep(0.1)


@pytest.mark.long
def test_a_pack_gets_its_sheet_even_if_its_worker_is_killed(hub: RunningHub) -> None:
    dora = caller(hub, "dora")
    published(dora)
    begun = sheet_when(dora, lambda found: found["progress"]["done"])
    kill_all(hub)
    stranger = Caller(hub.port)
    sheet = sheet_when(stranger, lambda found: found["state"] == "ready" and found["sheets"])
    pictures = {one["id"]: one for one in sheet["images"]}
    assert len(pictures) == 16
    assert {one["id"] for one in begun["images"]} <= pictures.keys()  # nothing is made twice
    with_pack = next(one for one in sheet["images"] if one["strength"])
    said = decode(stranger.call("GET", path_of(with_pack["url"])).body).document
    assert [one["strength"] for one in said["adapters"]] == [0.9]
    assert said["image"]["prompt"].endswith(f", {trained().trigger}")
    document = stranger.get(PLACE).document
    assert document["cover"] == with_pack["url"]
    drawn = stranger.call("GET", path_of(sheet["sheets"]["png"]))
    with Image.open(io.BytesIO(drawn.body)) as picture:
        assert picture.width > picture.height
    page = stranger.call("GET", "/packs/dora/dusk").body.decode()
    assert "Cover sheet of Dusk" in page
    assert page.count("with the pack</span>") == 8


def path_of(url: str) -> str:
    """Return the path of an address of this hub, whose port may be another now."""
    return url[url.index("/media/") :]
