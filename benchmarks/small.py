"""Requests a second for a hundred small files, against nginx sending the same ones.

Two readers, each on a connection that it keeps: while one takes a file, the server looks for the
next one's row, its rights and its range. nginx looks for nothing but a name.
"""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.results import Result
from benchmarks.setup import nginx
from benchmarks.setup.adapters import write_adapter
from benchmarks.setup.hubs import measured_hub, path_of, weights_of
from benchmarks.setup.processes import in_turn
from tests.e2e.talk import sent_from

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.setup.hubs import Measured

FILES, READERS, ROUNDS = 100, 2, 21
#: Files of a version: a version has at most 64.
AT_ONCE = 50
#: Least of nginx's rate, and most of its CPU time. Each file is authorised in Django.
SLOWEST, DEAREST = 0.4, 4


def run() -> list[Result]:
    """Measure adapters of rank 1 for SDXL, 5 MB each."""
    with measured_hub() as measured:
        files, size = _published(measured)
        with nginx.alone(measured.folder / "alone", measured.blobs) as alone:
            ours = [path_of(file["download_url"]) for file in files]
            theirs = [_stored(file["sha256"]) for file in files]
            hub, peer = in_turn(
                (measured.web, _reading(measured.hub.port, ours, size)),
                (nginx.pids_of(alone), _reading(alone.port, theirs, size)),
                rounds=ROUNDS,
            )
    case = f"{FILES} files of {size / 1e6:.0f} MB"
    rates = FILES / hub.wall_s, FILES / peer.wall_s
    costs = 1000 * hub.cpu_s / FILES, 1000 * peer.cpu_s / FILES
    return [
        Result("small", case, *rates, "nginx sendfile", "requests/s", floor=SLOWEST),
        Result("small", case, *costs, "nginx sendfile", "CPU ms a file", DEAREST),
    ]


def _published(measured: Measured) -> tuple[list[dict[str, str]], int]:
    """Publish the files and return what is told of them, and the length of each in bytes."""
    path, files, size = measured.folder / "small.safetensors", list[dict[str, str]](), 0
    made = measured.ada.post("/api/v1/adapters", {"name": "small"})
    assert made.status == 201, made.body
    for first in range(0, FILES, AT_ONCE):
        uploads = []
        for number in range(first, first + AT_ONCE):
            size = write_adapter(path, rank=1, seed=number)
            name = f"small-{number:03}.safetensors"
            uploads.append(measured.ada.sent_stream(sent_from(path), size, name))
        assert {measured.ada.final_state(upload) for upload in uploads} == {"accepted"}
        version = measured.ada.post("/api/v1/adapters/ada/small/versions", {"uploads": uploads})
        assert version.status == 201, version.body
        files += weights_of(version.document)
    return files, size


def _stored(digest: str) -> str:
    return f"/{digest[:2]}/{digest[2:4]}/{digest}"


def _reading(port: int, paths: Sequence[str], size: int) -> Callable[[], None]:
    """Return what takes all files, the readers side by side."""

    def read(own: Sequence[str]) -> None:
        block = bytearray(1024 * 1024)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for path in own:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200, response.status
            total = 0
            while taken := response.readinto(block):
                total += taken
            assert total == size, (total, size)
        connection.close()

    def read_all() -> None:
        with ThreadPoolExecutor(READERS) as readers:
            list(readers.map(read, [paths[n::READERS] for n in range(READERS)]))

    return read_all
