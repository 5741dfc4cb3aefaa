"""`hf download` of 500 MB from a hub, against the same client reading from bare nginx.

nginx sends the very bytes of the hub's store, under the headers that the hub's own answer has. So
what differs is what the hub does for a download: whose it is, which revision, and the count.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING

from benchmarks.results import Result, medians
from benchmarks.setup import nginx
from benchmarks.setup.adapters import write_large
from benchmarks.setup.hubs import measured_hub, weights_of
from tests.clients.programs import Programs
from tests.e2e.talk import sent_from
from tests.nginx import Nginx
from tests.running import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.setup.hubs import Measured

#: Of nginx alone: lowest throughput.
SLOWEST = 0.95
ROUNDS = 7
LIMIT_S = 300
#: What a server says of itself or of this one connection.
OWN = frozenset({"connection", "content-length", "content-type", "date", "server", "last-modified"})

#: Takes turns in one process, so that the start of Python and the first import count for neither.
LIBRARY = """
import json, shutil, sys, tempfile, time
from huggingface_hub import hf_hub_download
taken = [[] for _ in sys.argv[2:]]
for turn in range(int(sys.argv[1]) + 1):
    for seconds, endpoint in zip(taken, sys.argv[2:]):
        with tempfile.TemporaryDirectory(dir=".") as cache:
            began = time.perf_counter()
            hf_hub_download("ada/large", NAME, endpoint=endpoint, cache_dir=cache)
            seconds.append(time.perf_counter() - began)
print(json.dumps([seconds[1:] for seconds in taken]))
"""


def run() -> list[Result]:
    """Measure the library alone, and the command with all that it does before and after."""
    with measured_hub() as measured:
        source = measured.folder / "large.safetensors"
        size = write_large(source)
        version = measured.ada.publish_stream(sent_from(source), size, "large").document
        [file] = weights_of(version)
        digest, name = file["sha256"], file["path"]
        blob = measured.blobs / digest[:2] / digest[2:4] / digest
        place = f"/ada/large/resolve/main/{name}"
        headers = _headers(measured.hub.port, place)
        with _alone(measured.folder / "alone", place, blob, headers) as alone:
            bare = f"http://127.0.0.1:{alone.port}"
            return [
                _result("huggingface_hub", size, *_by_library(measured, bare, name)),
                _result("`hf download`", size, *_by_command(measured, bare, name)),
            ]


def _result(who: str, size: int, ours_s: float, bare_s: float) -> Result:
    rates = size / 1e9 / ours_s, size / 1e9 / bare_s
    case = f"{who}, 500 MB"
    return Result("clients", case, *rates, "the same from bare nginx", "GB/s", floor=SLOWEST)


def _headers(port: int, place: str) -> dict[str, str]:
    """Return what the hub's answer says of the file."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("HEAD", place)
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    found = {key: value for key, value in answer.getheaders() if key.casefold() not in OWN}
    connection.close()
    return found


def _alone(folder: Path, place: str, blob: Path, headers: Mapping[str, str]) -> Nginx:
    """Return an nginx that sends one file under one address, by sendfile."""
    nginx.require()
    port = free_port()
    quoted = {key: value.replace('"', '\\"') for key, value in headers.items()}
    said = " ".join(f'add_header {key} "{value}";' for key, value in quoted.items())
    where = f"location = {place} {{ alias {blob}; etag off; {said} }}"
    return Nginx(folder, port, f"server {{ listen 127.0.0.1:{port}; {where} }}")


def _by_library(measured: Measured, bare: str, name: str) -> list[float]:
    client = Programs(measured.hub, measured.folder / "library")
    code = LIBRARY.replace("NAME", repr(name))
    command = [sys.executable, "-c", code, str(ROUNDS), measured.hub.url, bare]
    told = client.command(command)
    return [statistics.median(seconds) for seconds in json.loads(told)]


def _by_command(measured: Measured, bare: str, name: str) -> list[float]:
    client = Programs(measured.hub, measured.folder / "command")
    hf = shutil.which("hf", path=f"{sys.prefix}/bin")
    assert hf is not None

    def fetch(endpoint: str) -> float:
        home = client.folder / "fetched"
        shutil.rmtree(home, ignore_errors=True)
        environ = client.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(home)}
        began = time.perf_counter()
        subprocess.run(
            [hf, "download", "ada/large", name],
            env=environ, check=True, timeout=LIMIT_S, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return time.perf_counter() - began

    return medians(lambda: fetch(measured.hub.url), lambda: fetch(bare), rounds=ROUNDS)
