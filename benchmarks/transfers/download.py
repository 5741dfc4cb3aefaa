"""Downloads of 500 MB from the hub's own server and through nginx, against nginx alone.

Throughput and CPU time come from the same rounds: files go out by sendfile everywhere, so what
the servers add to that is what is compared.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from benchmarks.results import Result
from benchmarks.setup import nginx
from benchmarks.setup.adapters import write_large
from benchmarks.setup.hubs import measured_hub, path_of, weights_of
from benchmarks.setup.processes import in_turn
from tests.e2e.talk import sent_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.setup.processes import Spent

ROUNDS = 7
#: Bytes a round, in as many downloads as it takes: one costs too little to tell from noise.
ROUND_BYTES = 1_000_000_000
#: Of nginx alone: lowest throughput and highest CPU time.
SLOWEST, DEAREST = 0.8, 1.5

BLOCK = bytearray(1024 * 1024)

Place = tuple[int, str]


def run() -> list[Result]:
    """Measure the whole file and the second half of it."""
    with measured_hub() as measured, measured.deciding() as deciding:
        source = measured.folder / "large.safetensors"
        size = write_large(source)
        version = measured.ada.publish_stream(sent_from(source), size, "large").document
        [file] = weights_of(version)
        path = path_of(file["download_url"])
        digest = file["sha256"]
        folder = measured.folder
        with (
            nginx.alone(folder / "alone", measured.blobs) as alone,
            nginx.before(folder / "front", deciding.hub.port, deciding.hub.data) as front,
        ):
            there = (alone.port, f"/{digest[:2]}/{digest[2:4]}/{digest}")
            watched = (
                (measured.web, (measured.hub.port, path)),
                ([*deciding.web, *nginx.pids_of(front)], (front.port, path)),
                (nginx.pids_of(alone), there),
            )
            return [*_whole(watched, size), *_half(watched, size)]


Watched = tuple[tuple[list[int], Place], ...]


def _whole(watched: Watched, size: int) -> Iterator[Result]:
    ours, through, alone = _spent(watched, {}, size)
    case, moved = "whole file of 500 MB", _times(size) * size / 1e9
    yield _throughput(case, ours, alone, moved)
    yield _cpu(case, ours, alone, moved)
    yield _throughput(f"{case}, through nginx", through, alone, moved)
    yield _cpu(f"{case}, through nginx", through, alone, moved)


def _half(watched: Watched, size: int) -> Iterator[Result]:
    length = size - size // 2
    ours, _through, alone = _spent(watched, {"Range": f"bytes={size // 2}-"}, length)
    yield _cpu("range of 250 MB", ours, alone, _times(length) * length / 1e9)


def _spent(watched: Watched, headers: Mapping[str, str], size: int) -> list[Spent]:
    def fetching(place: Place) -> Callable[[], None]:
        def fetch() -> None:
            for _ in range(_times(size)):
                take(*place, size, headers)

        return fetch

    works = [(pids, fetching(place)) for pids, place in watched]
    return in_turn(*works, rounds=ROUNDS)


def _times(size: int) -> int:
    return -(-ROUND_BYTES // size)


def _throughput(case: str, ours: Spent, alone: Spent, gigabytes: float) -> Result:
    rates = gigabytes / ours.wall_s, gigabytes / alone.wall_s
    return Result("download", case, *rates, "nginx sendfile", "GB/s", floor=SLOWEST)


def _cpu(case: str, ours: Spent, alone: Spent, gigabytes: float) -> Result:
    costs = ours.cpu_s / gigabytes, alone.cpu_s / gigabytes
    return Result("download", case, *costs, "nginx sendfile", "CPU s/GB", DEAREST)


def take(port: int, path: str, size: int, headers: Mapping[str, str]) -> None:
    """Download ``size`` bytes on a connection of their own and forget them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=dict(headers))
    response = connection.getresponse()
    assert response.status in {200, 206}, response.status
    total = 0
    while taken := response.readinto(BLOCK):
        total += taken
    connection.close()
    assert total == size, (total, size)
