"""Previews as a reader of the API sees them, and as another process makes them again."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from tests.e2e.talk import Caller

Key = tuple[str, int, float]

#: The promise to whoever publishes, on two cores.
READY_S = 120.0


@dataclass(frozen=True)
class Shown:
    """Pictures by prompt, seed and strength, as PNG."""

    pngs: Mapping[Key, bytes]
    waited_s: float

    def at(self, strength: float) -> dict[tuple[str, int], bytes]:
        """Return the pictures of a strength by prompt and seed."""
        return {key[:2]: png for key, png in self.pngs.items() if key[2] == strength}


def previews_of(who: Caller, version: str) -> dict[str, Any]:
    """Return the previews of ``owner/name/v1`` as the API tells them."""
    owner, name, number = version.split("/")
    answer = who.get(f"/api/v1/adapters/{owner}/{name}/versions/{number}")
    assert answer.status == 200, answer.body
    document: dict[str, Any] = answer.document["previews"]
    return document


def wait_until(
    who: Caller, version: str, is_so: Callable[[dict[str, Any]], bool], within_s: float = READY_S
) -> dict[str, Any]:
    """Ask for the previews until a condition holds; fails when they fail or time is up."""
    until = time.monotonic() + within_s
    while not is_so(previews := previews_of(who, version)):
        # Between a worker that was killed and the next one, it is waiting.
        assert previews["state"] in {"queued", "running", "waiting"}, previews
        assert time.monotonic() < until, previews
        time.sleep(0.05)
    return previews


def ready(who: Caller, version: str) -> Shown:
    """Wait until the previews are there, then fetch every picture."""
    began = time.monotonic()
    previews = wait_until(who, version, lambda previews: previews["state"] == "ready")
    waited = time.monotonic() - began
    pngs = {}
    for image in previews["images"]:
        answer = who.get(image["url"].partition(f":{who.port}")[2])
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
        picture = Image.open(io.BytesIO(answer.body))
        assert picture.size == (image["width"], image["height"])
        pngs[image["prompt"], image["seed"], image["strength"]] = answer.body
    assert len(pngs) == len(previews["images"]) == previews["progress"]["total"]
    return Shown(pngs, waited)


def pixels(png: bytes) -> NDArray[np.float64]:
    """Return (height, width, 3), 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float64)


def difference(one: bytes, other: bytes) -> float:
    """Return the mean difference of two pictures, 0 to 255."""
    return float(np.abs(pixels(one) - pixels(other)).mean())
