"""A crowd on thin lines: who looks at a page meanwhile does not wait for them."""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Caller, caller
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

PLACE = "/api/v1/adapters/ada/noir/versions/v1/files/noir.safetensors"
DOWNLOADS, BODIES = 40, 15
#: Requests that one address may have open in any web process.
SHARE = 8


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub with a file of 28 MB, longer than what the system buffers of a connection."""
    data = tmp_path_factory.mktemp("slow") / "hub"
    with RunningHub(data, "--queues", "checks") as running:
        ada = caller(running, "ada")
        assert ada.publish(kohya(DENOISERS["sd1", "diffusers"], rank=1024), "noir").status == 201
        yield running


@contextmanager
def trickling(hub: RunningHub, requests: list[bytes]) -> Iterator[list[socket.socket]]:
    """Open connections with these requests, which send a byte a second and take a few.

    They are of several addresses: one address gets no more than its share of the threads.
    """
    is_over = threading.Event()
    with ExitStack() as stack:
        lines = []
        for number, request in enumerate(requests):
            line = stack.enter_context(socket.socket())
            line.bind((f"127.0.0.{10 + number // SHARE}", 0))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
            line.settimeout(10)
            line.connect(("127.0.0.1", hub.port))
            line.sendall(request)
            lines.append(line)
        thread = threading.Thread(target=_trickle, args=(lines, requests, is_over))
        thread.start()
        try:
            yield lines
        finally:
            is_over.set()
            thread.join()


def _trickle(lines: list[socket.socket], requests: list[bytes], is_over: threading.Event) -> None:
    while not is_over.wait(1):
        for line, request in zip(lines, requests, strict=True):
            if request.startswith(b"GET"):
                line.recv(4096)
            else:
                line.send(b"a")


def descriptors(hub: RunningHub, words: str) -> int:
    """Return how many files with a name that the web processes hold open."""
    found = 0
    for pid, command in hub.pids().items():
        if "gunicorn" not in command:
            continue
        for place in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found += words in str(place.readlink())
            except FileNotFoundError:
                continue
    return found


def seconds(hub: RunningHub, path: str) -> float:
    """Return how long an answer to somebody else takes."""
    began = time.monotonic()
    assert Caller(hub.port).get(path).status == 200
    return time.monotonic() - began


@pytest.mark.long
def test_slow_downloads_and_bodies_leave_room_for_pages(hub: RunningHub) -> None:
    get = f"GET {PLACE} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    post = b"POST /api/v1/inspect?size=900000 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    post += b"Content-Type: application/octet-stream\r\nContent-Length: 800000\r\n\r\n"
    for path in ("/", "/healthz"):
        seconds(hub, path)
    with trickling(hub, [get] * DOWNLOADS + [post] * BODIES) as lines:
        for line in lines[:DOWNLOADS]:
            assert line.recv(12) == b"HTTP/1.1 200"
        for _round in range(10):
            for path in ("/", "/healthz", "/ada/noir"):
                # One answer may be late because of whatever else this machine does.
                assert median(seconds(hub, path) for _n in range(3)) < 1
            time.sleep(0.1)


def test_a_long_download_holds_no_connection_to_the_database(hub: RunningHub) -> None:
    if not (hub.data / "lorary.sqlite3").exists():
        pytest.skip("the rows are on a server")
    get = f"GET {PLACE} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    with trickling(hub, [get] * DOWNLOADS) as lines:
        for line in lines:
            assert line.recv(12) == b"HTTP/1.1 200"
        blobs = descriptors(hub, "/files/blobs/")
        rows = descriptors(hub, "lorary.sqlite3")
    assert blobs == DOWNLOADS
    assert rows < DOWNLOADS
