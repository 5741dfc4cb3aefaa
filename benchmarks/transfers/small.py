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
from benchmarks.setup.hubs import measured_hub, path_of, publish_files
from benchmarks.setup.processes import in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


FILES, READERS, ROUNDS = 100, 2, 21
#: Least of nginx's rate, and most of its CPU time. Each file is authorised in Django.
SLOWEST, DEAREST = 0.4, 4


def run() -> list[Result]:
    """Measure adapters of rank 1 for SDXL, 5 MB each."""
    with measured_hub() as measured:
        files = publish_files(measured, "ada/small", FILES, seed=0, rank=1)
        size = files[0]["size"]
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
