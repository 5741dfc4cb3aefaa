"""A hub with a pack of demo adapters, and its own pictures of the pack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import previews.miniature
from lorary.client import Hub
from previews.packs.recipes import recipe_of
from previews.render import Layer, load_bases
from tests.previews.updates import pixels
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from lorary.client.packs import PackVersion

MINIATURE = Path(previews.miniature.__file__).parent
BASE = MINIATURE / "base"
PACK = "ada/fair"
SUBJECT, SEED = "a red car in the snow by day", 7


def part(name: str, strength: float, role: str = "style") -> dict[str, Any]:
    return {"adapter": f"ada/{name}", "strength": strength, "role": role}


#: Both formats of files, a part below 0, settings of its own and of the base, and what weighs words
#: in other tools.
VARIANTS: list[dict[str, Any]] = [
    {
        "name": "plain", "family": "miniature", "output": "image",
        "parts": [part("vaporwave", 0.7), part("fire", 0.5)],
        "prompt": "{prompt}, vaporwave (pink), on fire", "negative": "",
    },
    {
        "name": "wide", "family": "miniature", "output": "image",
        "parts": [part("mosaic", 0.8), part("moonlight", -0.3, "lighting"), part("neon", 0.4)],
        "prompt": "[wide] {prompt}, mosaic tiles", "negative": "a (gray) castle at night",
        "steps": 10, "guidance": 3.0, "width": 160, "height": 96,
    },
]  # fmt: skip


@dataclass(frozen=True)
class Fair:
    """The hub with the pack, and the version that was published."""

    hub: RunningHub
    version: PackVersion
    token: str

    def client(self) -> Hub:
        """Return a stranger's client."""
        return Hub(self.hub.url)

    def owner(self) -> Hub:
        """Return the client of ada."""
        return Hub(self.hub.url, token=self.token)


@pytest.fixture(scope="session")
def fair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fair]:
    names = {one["adapter"].partition("/")[2] for two in VARIANTS for one in two["parts"]}
    data = tmp_path_factory.mktemp("fair") / "data"
    with RunningHub(data, "--queues", "checks") as running:
        token = running.manage("token", "--user", "ada", "--create").strip()
        with Hub(running.url, token=token) as hub:
            for name in sorted(names):
                hub.push(MINIATURE / "adapters" / f"{name}.safetensors", f"ada/{name}")
            hub.create_pack(PACK, title="Fair")
            version = hub.publish_pack(PACK, {"variants": VARIANTS})
        yield Fair(running, version, token)


@pytest.fixture(scope="session")
def pictures() -> dict[str, np.ndarray[Any, Any]]:
    """What the hub's renderer makes of each variant."""
    engine_of = pytest.importorskip("previews.render.engine").Engine
    bases = load_bases()
    engine, found = engine_of(bases), {}
    for variant in VARIANTS:
        (base,) = bases.serving("miniature")[:1]
        recipe = recipe_of(variant, base, prompts=[SUBJECT], seed=SEED, compares=False)
        layers = [
            Layer(file_of(one["adapter"]), one["strength"], one["adapter"])
            for one in variant["parts"]
        ]
        (picture,) = engine.render(recipe, layers)
        found[variant["name"]] = pixels(picture.png)
    return found


def file_of(adapter: str) -> Path:
    """Return the file of a demo adapter."""
    return MINIATURE / "adapters" / f"{adapter.partition('/')[2]}.safetensors"
