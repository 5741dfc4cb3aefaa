"""Memory while 4 GB pass through a hub: upload, checks, download, and eight downloads at once.

What counts is the most that a process has in memory above what it had before anybody came, with
every library that is loaded on the way. A worker or a server that kept the file, or a good part of
it, would be far above the bounds; the files are written in full, without holes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.results import Result
from benchmarks.setup.adapters import LARGE_RANK, write_adapter
from benchmarks.setup.hubs import measured_hub, path_of, weights_of
from benchmarks.setup.processes import Watched
from benchmarks.transfers.download import take
from tests.e2e.talk import sent_from

if TYPE_CHECKING:
    from benchmarks.setup.hubs import Measured

#: Makes about 4 GB.
RANK = 8 * LARGE_RANK
AT_ONCE = 8
#: MB above idle of one process.
WORKER_MB, WEB_MB = 150.0, 150.0
#: Seconds that the checks may take on a busy machine.
CHECKED_S = 900.0


def run() -> list[Result]:
    """Measure one file on its way, then its readers."""
    with measured_hub() as measured:
        source = measured.folder / "huge.safetensors"
        size = write_adapter(source, rank=RANK)
        watched = Watched({"web": measured.web, "worker": measured.checks})
        upload = measured.ada.sent_stream(sent_from(source), size)
        source.unlink()
        state = measured.ada.final_state(upload, CHECKED_S)
        assert state == "accepted", state
        path = _published(measured, upload)
        take(measured.hub.port, path, size, {})
        watched.look()
        passed = dict(watched.above_mb)
        _crowd(measured, path, size)
        watched.look()
        crowded = watched.above_mb["web"]
    case = f"{size / 1e9:.1f} GB through upload, checks and download"
    crowd = f"{AT_ONCE} downloads of {size / 1e9:.1f} GB at once"
    return [
        _result(f"worker, {case}", passed["worker"], WORKER_MB),
        _result(f"web, {case}", passed["web"], WEB_MB),
        _result(f"web, {crowd}", crowded, WEB_MB),
    ]


def _result(case: str, peak: float, bound: float) -> Result:
    return Result("passage", case, peak, bound, "the bound", "MB above idle", 1.0)


def _published(measured: Measured, upload: str) -> str:
    made = measured.ada.post("/api/v1/adapters", {"name": "huge"})
    assert made.status == 201, made.body
    version = measured.ada.post("/api/v1/adapters/ada/huge/versions", {"uploads": [upload]})
    assert version.status == 201, version.body
    return path_of(weights_of(version.document)[0]["download_url"])


def _crowd(measured: Measured, path: str, size: int) -> None:
    with ThreadPoolExecutor(AT_ONCE) as readers:
        list(readers.map(lambda _n: take(measured.hub.port, path, size, {}), range(AT_ONCE)))
