"""Clients that stand still or trickle give their thread back."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from hub.webserver import gunicorn_worker
from tests.running import RunningHub
from tests.waiting import MODULE, WHOLE, answered, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what a reader has taken"),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A server that knows what ``MODULE`` answers."""
    folder = tmp_path_factory.mktemp("stalls")
    file = folder / "long"
    file.touch()
    os.truncate(file, 1_000_000_000)
    with serving(folder, MODULE.format(file=str(file))) as server:
        yield server


@pytest.fixture
def server(running: tuple[int, Path]) -> tuple[int, Path]:
    """The same for all tests, whose log begins anew."""
    os.truncate(running[1], 0)
    return running


@contextmanager
def repeated(act: Callable[[], object]) -> Iterator[None]:
    """Do something ten times a second meanwhile, until the connection is gone."""
    is_over = threading.Event()

    def go_on() -> None:
        with suppress(OSError):
            while not is_over.wait(0.1):
                act()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


READERS = {
    "a file": b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n",
    "blocks": b"GET /blocks HTTP/1.1\r\nHost: x\r\n\r\n",
}
SENDERS = {
    "a head": b"GET / HTTP/1.1\r\nHost: ",
    "a body": b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nfirst bytes",
    "a refused body": b"PUT /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\nfirst",
}


@pytest.mark.parametrize("name", [*READERS, *SENDERS])
def test_who_stands_still_keeps_no_thread(server: tuple[int, Path], name: str) -> None:
    port, log = server
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall((READERS | SENDERS)[name])
        if name in READERS:
            assert line.recv(100).startswith(b"HTTP/1.1 200")
        assert answered(port) == b"hello"
    assert "Traceback" not in log.read_text()
    is_logged = name not in {"a head", "a refused body"}
    assert ("timed out" in log.read_text()) is is_logged


@pytest.mark.parametrize("name", [*READERS, *SENDERS])
def test_who_trickles_keeps_no_thread(server: tuple[int, Path], name: str) -> None:
    port, log = server
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall((READERS | SENDERS)[name])
        act = (lambda: line.recv(1)) if name in READERS else (lambda: line.send(b"a"))
        with repeated(act):
            assert answered(port) == b"hello"
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("head", [b"", b"G", SENDERS["a head"]], ids=["nothing", "a byte", "half"])
def test_who_sends_no_whole_head_gets_no_thread(server: tuple[int, Path], head: bytes) -> None:
    with ExitStack() as silent:
        for _n in range(20):
            line = silent.enter_context(socket.create_connection(("127.0.0.1", server[0])))
            line.sendall(head)
        began = time.monotonic()
        assert answered(server[0]) == b"hello"
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("threads", [1, 2])
def test_who_asks_without_pause_leaves_the_thread_to_others(tmp_path: Path, threads: int) -> None:
    is_over, asked = threading.Event(), list[int]()

    def ask(port: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            while not is_over.is_set():
                connection.request("POST", "/", body=b"again")
                asked.append(len(connection.getresponse().read()))

    with serving(tmp_path, MODULE.format(file=""), threads) as (port, _log), ExitStack() as clients:
        for _ in range(threads):
            relentless = threading.Thread(target=ask, args=[port])
            relentless.start()
            clients.callback(relentless.join)
        clients.callback(is_over.set)
        assert [answered(port) for _ in range(5)] == [b"hello"] * 5
        before = len(asked)
        assert answered(port) == b"hello"
    assert before > 0, "the clients without pause were not answered meanwhile"


def test_requests_that_came_together_are_answered_together(server: tuple[int, Path]) -> None:
    one, number = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 200

    def spent_s(at_once: int) -> float:
        with socket.create_connection(("127.0.0.1", server[0]), timeout=30) as client:
            began = time.monotonic()
            for _turn in range(number // at_once):
                client.sendall(one * at_once)
                came = b""
                while came.count(b"hello") < at_once:
                    came += client.recv(65536)
            return time.monotonic() - began

    one_by_one_s = spent_s(1)
    waits_s = number * gunicorn_worker.NEXT_REQUEST_WAIT_S
    assert spent_s(number) < one_by_one_s + 0.5 * waits_s, "a thread waited for what was there"


def test_a_body_that_comes_too_slowly_is_told_so(tmp_path: Path) -> None:
    RunningHub(tmp_path / "data").migrate()
    told = {}
    with serving(tmp_path, WHOLE) as (port, log):
        for place in ("/api/v1/inspect?size=9999", "/api/v1/uploads"):
            line = socket.create_connection(("127.0.0.1", port), timeout=30)
            head = f"POST {place} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n"
            line.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode())
            with repeated(lambda line=line: line.send(b"a")):  # type: ignore[misc]  # bound at once
                response = http.client.HTTPResponse(line)
                response.begin()
                problem = json.loads(response.read())
            line.close()
            assert response.status == problem["status"]
            told[place] = (response.status, problem["code"])
    assert list(told.values()) == [(408, "request_timeout"), (401, "not_authenticated")]
    assert "Traceback" not in log.read_text()


def test_a_thin_line_that_moves_goes_on(server: tuple[int, Path]) -> None:
    """Ten times a second 1 KB are sent, or 20 KB taken: the buffer of a megabyte moves slowly."""
    port = server[0]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n")
        for _n in range(30):
            line.sendall(b"a" * 1000)
            time.sleep(0.1)
        assert line.recv(100).startswith(b"HTTP/1.1 200")
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(READERS["a file"])
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert line.recv(20_000)
            time.sleep(0.1)
        left = 50_000_000
        while left > 0:
            block = line.recv(1_000_000)
            assert block
            left -= len(block)


@pytest.mark.parametrize("place", ["/long", "/blocks"])
def test_who_reads_on_gets_everything(server: tuple[int, Path], place: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=30)
    connection.request("GET", place)
    response, total, block = connection.getresponse(), 0, bytearray(1024 * 1024)
    while taken := response.readinto(block):
        total += taken
    assert total == 1_000_000_000
    connection.close()
