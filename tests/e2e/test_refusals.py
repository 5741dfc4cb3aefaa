"""What a running hub refuses, with which code, and that nothing stays behind."""

from __future__ import annotations

import json
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.setup.processes import peak_mb, reset_peak, resident_mb
from tests.builders.adapters import DENOISERS, kohya
from tests.builders.malformed import ATTACKS, FEW
from tests.e2e.talk import Caller, caller, exchange, kept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SD1 = DENOISERS["sd1", "diffusers"]
ADAPTER = kohya(SD1)

FILES = {
    "truncated": (ADAPTER[:-100], "file_truncated"),
    **{name: ATTACKS[name] for name in FEW},
}

RAW_BYTES = 200_000_000


@pytest.fixture(scope="module")
def ada(quiet_hub: RunningHub) -> Caller:
    return caller(quiet_hub, "ada")


@pytest.fixture
def stranger(quiet_hub: RunningHub) -> Caller:
    return caller(quiet_hub)


@pytest.fixture(autouse=True)
def nothing_stays(quiet_hub: RunningHub) -> Iterator[None]:
    before = kept(quiet_hub)
    yield
    assert kept(quiet_hub) == before


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused_with_its_finding(ada: Caller, name: str) -> None:
    data, finding = FILES[name]
    answer = ada.send(data)
    assert (answer.status, answer.code) == (422, "upload_refused")
    assert answer.findings == [finding]
    assert answer.document["detail"] == answer.document["findings"][0]["message"]


@pytest.mark.parametrize("name", ["truncated", "pickle"])
def test_a_bad_file_sent_in_parts_is_refused_on_completion(ada: Caller, name: str) -> None:
    data, finding = FILES[name]
    upload = ada.announce("noir.safetensors", len(data)).document["urls"]
    path = "/api/v1" + upload["self"].partition("/api/v1")[2]
    assert ada.call("PUT", f"{path}/parts/1", data).status == 200
    answer = ada.post(f"{path}/complete")
    assert (answer.status, answer.code, answer.findings) == (422, "upload_refused", [finding])
    assert ada.get(path).document["state"] == "refused"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_header_of_200_mb_costs_no_memory(quiet_hub: RunningHub, ada: Caller) -> None:
    def body() -> Iterator[bytes]:
        yield struct.pack("<Q", RAW_BYTES) + b'{"a":'
        block = b" " * 1_000_000
        for _ in range(RAW_BYTES // len(block)):
            yield block

    size = RAW_BYTES + 13
    upload = ada.announce("noir.safetensors", size).document["id"]
    place = f"/api/v1/uploads/{upload}/content"
    web = [pid for pid, words in quiet_hub.pids().items() if "gunicorn" in words]
    before = {pid: resident_mb(pid) for pid in web}
    for pid in web:
        reset_peak(pid)
    answer = ada.call("PUT", place, body(), {"Content-Length": str(size)})
    assert (answer.status, answer.findings) == (422, ["header_too_large"])
    assert all(peak_mb(pid) - before[pid] < 30 for pid in web)


def test_bytes_behind_the_declared_body_are_not_taken(quiet_hub: RunningHub, ada: Caller) -> None:
    data = ATTACKS["pickle"].data
    upload = ada.announce("noir.safetensors", len(data)).document["id"]
    head = _head(ada, upload, f"Content-Length: {len(data)}")
    status, body = exchange(quiet_hub.port, head + data + b"x" * 4096)
    assert (status, json.loads(body)["code"]) == (422, "upload_refused")


def _head(who: Caller, upload: str, length: str) -> bytes:
    lines = [
        f"PUT /api/v1/uploads/{upload}/content HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {who.token}",
        length,
        "Connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
