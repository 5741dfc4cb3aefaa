"""Server CPU of a download, against nginx sending the same file by sendfile."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from benchmarks.adapters import write_large
from benchmarks.hubs import measured_hub
from benchmarks.nginx import Nginx
from benchmarks.processes import spent_by
from benchmarks.results import Result, medians
from tests.e2e.talk import sent_from

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["run"]

ROUNDS = 7
#: Bytes a round, in as many downloads as it takes: one costs too little to tell from noise.
ROUND_BYTES = 1_000_000_000
LIMIT = 1.5

BLOCK = bytearray(1024 * 1024)


def run() -> list[Result]:
    """Measure downloads of 500 MB, the whole file and the second half of it."""
    with measured_hub() as measured:
        source = measured.folder / "large.safetensors"
        size = write_large(source)
        version = measured.ada.publish_stream(sent_from(source), size, "large").document
        file = version["files"][0]
        blob = measured.hub.data / "files" / "blobs" / file["sha256"][:2] / file["sha256"][2:4]
        ours = "/api" + file["download_url"].partition("/api")[2]
        with Nginx(measured.folder / "nginx", blob) as nginx:
            places = ((measured.hub.port, ours), (nginx.port, f"/{file['sha256']}"))
            pids = (measured.web, nginx.pids)
            return [
                _measure("whole file of 500 MB", places, pids, {}, size),
                _measure("range of 250 MB", places, pids, _half(size), size - size // 2),
            ]


def _half(size: int) -> dict[str, str]:
    return {"Range": f"bytes={size // 2}-"}


def _measure(
    case: str,
    places: tuple[tuple[int, str], tuple[int, str]],
    pids: tuple[list[int], list[int]],
    headers: dict[str, str],
    size: int,
) -> Result:
    times = -(-ROUND_BYTES // size)

    def cost(place: tuple[int, str], watched: list[int]) -> Callable[[], float]:
        def fetch() -> None:
            for _ in range(times):
                _fetch(*place, headers, size)

        def measure() -> float:
            return spent_by(watched, fetch) / (times * size / 1e9)

        return measure

    ours, nginx = medians(cost(places[0], pids[0]), cost(places[1], pids[1]), rounds=ROUNDS)
    return Result("download", case, ours, nginx, "nginx sendfile", "CPU s/GB", LIMIT)


def _fetch(port: int, path: str, headers: dict[str, str], size: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    assert response.status in {200, 206}, response.status
    total = 0
    while taken := response.readinto(BLOCK):
        total += taken
    connection.close()
    assert total == size, (total, size)
