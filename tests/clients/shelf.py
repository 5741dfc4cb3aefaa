"""Adapters that readers find on a running hub: ``studio/noir`` and its neighbours."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import lorary
from lorary.client.transfers.details import Details
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import RunningHub

#: More than the two blocks of 10 MiB by which clients keep what arrived.
LARGE_BYTES = 24 * 2**20
#: More than a page of a list has.
MANY = 105


@dataclass(frozen=True)
class Shelf:
    """A hub with adapters of ``studio``, the files that they were made of, and two tokens."""

    hub: RunningHub
    token: str
    other_token: str
    noir: Path
    older: Path
    peft: Path
    large: Path

    def send(self, method: str, path: str, **said: Any) -> Any:
        """Send JSON to the API as studio."""
        request = urllib.request.Request(
            f"{self.hub.url}/api/v1/{path}",
            data=json.dumps(said).encode(),
            method=method,
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


def fill(hub: RunningHub, folder: Path, *, noir: Path, older: Path, peft: Path) -> Shelf:
    """Publish what the tests read.

    Args:
        hub: Where.
        folder: For what is made here.
        noir: Weights of the newest version of ``studio/noir``.
        older: Weights of the one before.
        peft: A folder that PEFT wrote, published as ``studio/noir-peft``.
    """
    large = folder / "large.safetensors"
    large.write_bytes(kohya(DENOISERS["sd1", "diffusers"], rank=900))
    tokens = [
        hub.manage("token", "--user", name, "--create").strip() for name in ("studio", "guest")
    ]
    shelf = Shelf(hub, tokens[0], tokens[1], noir, older, peft, large)
    style = Details(trigger_words=("dim light",), kind="style")
    with lorary.Hub(hub.url, token=shelf.token) as studio:
        for path in (older, noir):
            studio.push(path, "studio/noir", details=style)
        studio.push(sorted(peft.iterdir()), "studio/noir-peft", details=style)
        studio.push(large, "studio/large", details=style)
        studio.push(older, "studio/secret.v1", details=replace(style, visibility="private"))
        studio.push(older, "studio/gated", details=style)
        studio.push(older, "studio/before", details=style)
    shelf.send("PATCH", "adapters/studio/before", name="after.v2")
    change = "from registry.models import Adapter; Adapter.objects.filter(name='gated').update"
    hub.manage("shell", "-v0", "-c", f"{change}(access='gated-manual')")
    for number in range(MANY):
        shelf.send("POST", "adapters", name=f"many{number:03}", tags=["many"], kind="pose")
    return shelf
