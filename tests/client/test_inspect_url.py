"""`lorary inspect` and `lorary.inspect` of files behind an address."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

import lorary
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.client.conftest import Ran

    Run = Callable[..., Ran]

SDXL = DENOISERS["sdxl", "sgm"]


class Ranged(BaseHTTPRequestHandler):
    """A server that answers ranged requests and counts them."""

    data = b""
    ranges: list[str] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.ranges.append(wanted)
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
        if self.path.startswith("/missing"):
            self.send_error(404)
        elif found is None:
            self.send_error(400)
        else:
            begin, end = int(found[1]), min(int(found[2]), len(self.data) - 1)
            piece = self.data[begin : end + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{end}/{len(self.data)}")
            self.send_header("Content-Length", str(len(piece)))
            self.end_headers()
            self.wfile.write(piece)

    def log_message(self, *_args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Ranged.data = kohya(SDXL, metadata={"ss_network_alpha": "3", "ss_network_dim": "4"})
    Ranged.ranges = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Ranged) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_an_address_takes_two_small_requests(run: Run, server: str) -> None:
    ran = run("inspect", f"{server}/a/noir%20x.safetensors?download=true", "--json")
    assert ran.code == 0, ran.err
    assert ran.document["file"]["name"] == "noir x.safetensors"
    assert ran.document["file"]["size_bytes"] == len(Ranged.data)
    assert ran.document["base"]["family"] == "sdxl"
    assert ran.document["alpha"] == {"mode": 3, "values_read": 0}
    assert len(Ranged.ranges) <= 2
    refused, seen = run("inspect", "http://[::1/a", f"{server}/a", "--json").documents
    assert (refused["error"]["code"], "error" in seen) == ("unreadable", False)
    page = run("inspect", f"{server}/noir.safetensors").out
    assert "Stable Diffusion XL" in page
    ran = run("inspect", f"{server}/missing.safetensors", "--json")
    assert ran.code == 3
    assert ran.document["file"] == {"name": "missing.safetensors"}
    assert ran.document["error"]["code"] == "unreadable"


def test_lorary_inspect_takes_whatever_holds_a_file(lora: Path, server: str) -> None:
    data = lora.read_bytes()
    with lora.open("rb") as file:
        from_file = lorary.inspect(file)
    assert from_file.anatomy is not None
    for place in (lora, str(lora), data, bytearray(data), memoryview(data)):
        found = lorary.inspect(place)
        assert found.anatomy is not None
        assert found.anatomy.base == from_file.anatomy.base
    assert lorary.inspect(f"{server}/noir.safetensors").anatomy is not None
    assert lorary.inspect(b"PK\x03\x04").refused
    with pytest.raises(FileNotFoundError):
        lorary.inspect(lora.parent / "nothing.safetensors")
