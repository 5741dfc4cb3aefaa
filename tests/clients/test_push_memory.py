"""What the hub needs in memory while large files come in by LFS."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.clients.conftest import PART_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.running import RunningHub

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.slow]

MIB = 2**20
BLOCK = bytes(range(256)) * 4096
#: Length of the file, and by how much the hub's processes may grow meanwhile, all together.
FILE_BYTES, MORE_BYTES = 256 * MIB, 64 * MIB


class File:
    """A stream of bytes that are made as they are read, from one place to another."""

    def __init__(self, start: int, end: int) -> None:
        self.place, self.end = start, end

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        at = self.place % MIB
        size = min(MIB - at if size < 0 else size, MIB - at, self.end - self.place)
        self.place += size
        return BLOCK[at : at + size]

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read():
            yield piece


class Peak(threading.Thread):
    """Looks at the memory of a hub's processes, again and again."""

    def __init__(self, hub: RunningHub) -> None:
        super().__init__(daemon=True)
        self.processes = [psutil.Process(pid) for pid in hub.pids()]
        self.first = self.bytes = self._now()
        self.is_over = False

    def _now(self) -> int:
        return sum(process.memory_info().rss for process in self.processes)

    def run(self) -> None:
        """Look until it is over."""
        while not self.is_over:
            self.bytes = max(self.bytes, self._now())
            time.sleep(0.02)


def send(method: str, url: str, data: Any, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urlopen(Request(url, data, named, method=method), timeout=120) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("way", ["basic", "multipart"])
def test_memory_stays_flat_however_long_a_file_is(
    hub: RunningHub, ada_token: str, way: str
) -> None:
    size = FILE_BYTES + len(way)
    digest = hashlib.sha256()
    for piece in File(0, size):
        digest.update(piece)
    login = {"Authorization": f"Bearer {ada_token}", "Content_Type": "application/json"}
    name = json.dumps({"name": f"memory-{way}"}).encode()
    send("POST", f"{hub.url}/api/repos/create", name, **login)
    asked = {"operation": "upload", "transfers": [way],
             "objects": [{"oid": digest.hexdigest(), "size": size}]}  # fmt: skip
    place = f"{hub.url}/ada/memory-{way}.git/info/lfs/objects/batch"
    told = json.loads(send("POST", place, json.dumps(asked).encode(), **login))
    action = told["objects"][0]["actions"]["upload"]
    peak = Peak(hub)
    peak.start()
    for start, end, url in pieces(action, size):
        send("PUT", url, File(start, end), Content_Length=str(end - start))
    peak.is_over = True
    peak.join()
    assert peak.bytes - peak.first < MORE_BYTES
    again = json.loads(send("POST", place, json.dumps(asked).encode(), **login))
    assert "actions" not in again["objects"][0]


def pieces(action: dict[str, Any], size: int) -> list[tuple[int, int, str]]:
    """Return where each piece of a file begins and ends, and where it goes."""
    header = action.get("header", {})
    if not header:
        return [(0, size, action["href"])]
    length = int(header.pop("chunk_size"))
    assert length == PART_BYTES
    return [
        ((int(number) - 1) * length, min(int(number) * length, size), url)
        for number, url in header.items()
    ]
