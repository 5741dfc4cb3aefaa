"""Counts of downloads by real processes: two servers, stopped and killed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from benchmarks.setup.adapters import write_adapter
from benchmarks.setup.hubs import path_of
from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Caller, caller, sent_from
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

LORA = kohya(DENOISERS["sd1", "diffusers"])


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with RunningHub(tmp_path_factory.mktemp("count") / "hub", "--queues", "checks") as running:
        yield running


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Caller:
    return caller(hub, "ada")


@pytest.fixture(scope="module")
def place(ada: Caller) -> str:
    """Address of a small file."""
    return path_of(ada.publish(LORA, "noir").document["files"][0]["download_url"])


def count(ada: Caller, place: str) -> int:
    return int(ada.get(place.partition("/versions")[0]).document["downloads"])


def settled(ada: Caller, place: str, wanted: int) -> int:
    """Return the count once it has reached what is wanted, or what it is after a while."""
    until = time.monotonic() + 20
    while count(ada, place) < wanted and time.monotonic() < until:
        time.sleep(0.1)
    return count(ada, place)


def restarted(hub: RunningHub, number: int) -> None:
    """End all processes by a signal and start again."""
    assert hub.process is not None
    os.killpg(hub.process.pid, number)
    hub.process.wait(15)
    assert hub.wait_gone()
    hub.start()


def test_a_crowd_is_counted_exactly_and_a_stop_loses_nothing(
    hub: RunningHub, ada: Caller, place: str
) -> None:
    guest = Caller(hub.port)

    def visit(_number: int) -> None:
        for headers in ({}, {"Range": "bytes=0-99"}, {"If-None-Match": "*"}, {"Range": "bytes=-9"}):
            assert guest.get(place, headers).status in {200, 206, 304}
        assert guest.call("HEAD", place).status == 200

    before = count(ada, place)
    with ThreadPoolExecutor(16) as crowd:
        list(crowd.map(visit, range(80)))
    restarted(hub, signal.SIGTERM)  # the last counts were not written yet
    assert count(ada, place) == before + 80


@pytest.mark.long
def test_a_killed_server_keeps_what_it_has_written(
    hub: RunningHub, ada: Caller, place: str
) -> None:
    before = count(ada, place)
    assert Caller(hub.port).get(place).body == LORA
    assert settled(ada, place, before + 1) == before + 1
    assert Caller(hub.port).get(place).body == LORA
    restarted(hub, signal.SIGKILL)
    assert before + 1 <= count(ada, place) <= before + 2


@pytest.mark.long
def test_a_reader_that_leaves_is_counted_when_it_comes_back(
    hub: RunningHub, ada: Caller, tmp_path: Path
) -> None:
    source = tmp_path / "large.safetensors"
    size = write_adapter(source, rank=8)  # 42 MB: more than the buffers of a connection hold
    version = ada.publish_stream(sent_from(source), size, "large").document
    place = path_of(version["files"][0]["download_url"])
    for _ in range(3):
        leave_early(hub.port, place)
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)
    connection.request("GET", place, headers={"Range": "bytes=65536-"})
    response = connection.getresponse()
    assert (response.status, len(response.read())) == (206, size - 65536)
    connection.close()
    restarted(hub, signal.SIGTERM)
    assert count(ada, place) == 1


def leave_early(port: int, place: str) -> None:
    """Take 64 KiB of a file and break the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(f"GET {place} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        taken = 0
        while taken < 65536:
            taken += len(line.recv(65536))
