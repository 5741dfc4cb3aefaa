"""Server CPU of an upload, against reading, hashing and writing the same bytes in one process."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.results import Result, least
from benchmarks.setup.adapters import write_large
from benchmarks.setup.hubs import measured_hub
from benchmarks.setup.processes import cpu_s
from tests.e2e.talk import sent_from

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.setup.hubs import Measured

ROUNDS = 5
LIMIT = 2.0
#: Each of the 32 parts is a request of its own.
PARTS_LIMIT = 2.2
#: The checks read every number and compute six hashes, two of them SHA-256.
CHECKED_LIMIT = 7.0
BLOCK = 1024 * 1024
PART = 16 * 1024 * 1024
AT_ONCE = 4
#: Seconds that the checks may take on a busy machine.
CHECKED_S = 600.0

AGAINST, UNIT = "read + sha256 + write + fsync", "CPU s/GB"


def run() -> list[Result]:
    """Measure 500 MB in one body and in parts: the web processes alone, then with the checks."""
    with measured_hub() as measured:
        source = measured.folder / "large.safetensors"
        size = write_large(source)
        checks: list[float] = []

        def floor() -> float:
            return _floor(source, size)

        def whole() -> float:
            web, worker = _cost(measured, size, lambda: _by_body(measured, source, size))
            checks.append(worker)
            return web

        def parts() -> float:
            return _cost(measured, size, lambda: _by_parts(measured, source, size))[0]

        def begun(measure: Callable[[], float]) -> Callable[[], float]:
            """Begin a measure with memory that was just in use, see ``least``."""

            def measured_then() -> float:
                floor()
                return measure()

            return measured_then

        measures = map(begun, (whole, parts, floor))
        web, by_parts, base = least(*measures, rounds=ROUNDS)
        checked = web + min(checks)
        return [
            _result("raw PUT of 500 MB", web, base, LIMIT),
            _result("parts of 16 MiB, four at a time", by_parts, base, PARTS_LIMIT),
            _result("raw PUT with deep checks", checked, base, CHECKED_LIMIT),
        ]


def _result(case: str, cost: float, floor: float, limit: float) -> Result:
    return Result("upload", case, cost, floor, AGAINST, UNIT, limit)


def _cost(measured: Measured, size: int, send: Callable[[], str]) -> tuple[float, float]:
    """Return CPU seconds per GB of the web processes for taking, and of the worker for checking.

    Looks at whether the checks are done are no part of it: they cost the same for any size.
    """
    web, worker = measured.web, measured.checks
    before = cpu_s(web), cpu_s(worker)
    upload = send()
    taken = cpu_s(web) - before[0]
    assert measured.ada.final_state(upload, CHECKED_S) == "accepted"
    return taken / (size / 1e9), (cpu_s(worker) - before[1]) / (size / 1e9)


def _by_body(measured: Measured, source: Path, size: int) -> str:
    return measured.ada.sent_stream(sent_from(source), size)


def _by_parts(measured: Measured, source: Path, size: int) -> str:
    """Send as the command line does, and return the upload's id."""
    ada = measured.ada
    upload = str(ada.announce("noir.safetensors", size).document["id"])

    def send(begin: int) -> None:
        with source.open("rb") as handle:
            handle.seek(begin)
            body = handle.read(PART)
        place = f"/api/v1/uploads/{upload}/parts/{begin // PART + 1}"
        assert ada.call("PUT", place, body).status == 200

    with ThreadPoolExecutor(AT_ONCE) as senders:
        list(senders.map(send, range(0, size, PART)))
    answer = ada.post(f"/api/v1/uploads/{upload}/complete")
    assert answer.status == 200, answer.body
    return upload


def _floor(source: Path, size: int) -> float:
    target = source.with_suffix(".copy")
    began = time.process_time()
    # One buffer: a fresh one for each block costs page faults, up to three times the work itself.
    sha, block = hashlib.sha256(), memoryview(bytearray(BLOCK))
    with source.open("rb", buffering=0) as reading, target.open("wb", buffering=0) as writing:
        while taken := reading.readinto(block):
            sha.update(block[:taken])
            writing.write(block[:taken])
        os.fsync(writing.fileno())
    spent = time.process_time() - began
    target.unlink()
    return spent / (size / 1e9)
