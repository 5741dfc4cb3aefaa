"""What SECURITY.md promises of slow clients: they do not stop the hub for others.

The attacker has the address 127.0.0.1, whoever is served meanwhile 127.0.0.2.
"""

from __future__ import annotations

import http.client
import socket
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.nginx import Nginx, program
from tests.running import RunningHub
from tests.whole import IS_WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="has every address of 127.0.0.0/8"),
]

CROWD = 80
PAGE_S, LIVE_S = 2.0, 0.2
HEAD = b"G"
POST = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50000\r\n\r\nA"
INSPECT = POST.format(path="/api/v1/inspect?size=100000").encode()
SIGN_IN = POST.format(path="/signin").encode()
DOWNLOAD = b"GET /static/pages.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub; the proxy in front of it is trusted."""
    data = tmp_path_factory.mktemp("attacked") / "hub"
    with RunningHub(data, "--no-worker") as running:
        yield running


@pytest.fixture(
    params=["directly", pytest.param("behind nginx", marks=pytest.mark.long)], scope="module"
)
def port(
    request: pytest.FixtureRequest, hub: RunningHub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """Where the hub is reached."""
    if request.param == "directly":
        yield hub.port
        return
    if program() is None:
        pytest.skip("there is no nginx (apt-get install nginx)")
    folder = tmp_path_factory.mktemp("front") / "nginx"
    with (
        hub.beside("--no-worker", TRUST_PROXY="1", ACCEL="/blobs/") as deciding,
        Nginx.before(folder, deciding.port, hub.data) as front,
    ):
        yield front.port


@contextmanager
def crowd(port: int, requests: list[bytes], *, trickles: bool = False) -> Iterator[None]:
    """Have the attacker send these beginnings, and go on with a byte a second or not at all."""
    is_over = threading.Event()

    def trickle() -> None:
        while not is_over.wait(1):
            for line in lines:
                with suppress(OSError):
                    line.send(b"a")

    with ExitStack() as stack:
        lines = []
        for request in requests:
            line = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            line.sendall(request)
            lines.append(line)
        if trickles:
            thread = threading.Thread(target=trickle)
            thread.start()
            stack.callback(thread.join)
            stack.callback(is_over.set)
        yield


def seconds(port: int, path: str, address: str = "127.0.0.2") -> float:
    """Return how long an answer takes to whoever has the address."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=60, source_address=(address, 0)
    )
    with closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.read()
        assert response.status == 200, (path, response.status)
    return time.monotonic() - began


ATTACKS = {
    "slow heads": [HEAD] * CROWD,
    "slow bodies": [INSPECT] * CROWD,
    "slow forms": [SIGN_IN] * CROWD,
    "both": [HEAD] * CROWD + [INSPECT] * CROWD,
}


@pytest.mark.parametrize(
    ("name", "trickles"),
    [
        pytest.param("both", True, id="both, trickling"),
        *(
            pytest.param(name, True, id=f"{name}, trickling", marks=pytest.mark.long)
            for name in ATTACKS
            if name != "both"
        ),
        pytest.param("both", False, id="both, still", marks=pytest.mark.long),
    ],
)
def test_a_crowd_of_one_address_stops_nobody_else(port: int, name: str, trickles: bool) -> None:
    for path in ("/", "/healthz/live"):
        seconds(port, path)
    with crowd(port, ATTACKS[name], trickles=trickles):
        for wait_s in (0.0, 0.5, 2.0, 4.0) if IS_WHOLE else (0.0, 0.5, 1.5):
            time.sleep(wait_s)
            assert seconds(port, "/browse") <= PAGE_S
            for address in ("127.0.0.2", "127.0.0.1"):
                # One answer may be late because of whatever else this machine does.
                tries = [seconds(port, "/healthz/live", address) for _n in range(3)]
                assert median(tries) <= LIVE_S


def connected(hub: RunningHub, address: str) -> socket.socket:
    """Return a connection of somebody with an address, whom no throttle knows yet."""
    return socket.create_connection(
        ("127.0.0.1", hub.port), timeout=30, source_address=(address, 0)
    )


def trickled(
    line: socket.socket, byte: bytes, *, every_s: float, within_s: float
) -> tuple[bytes, float]:
    """Send a byte now and then until there is an answer; return it and the seconds it took."""
    began, answer = time.monotonic(), b""
    line.settimeout(every_s)
    while not answer:
        assert time.monotonic() - began < within_s
        line.sendall(byte)
        with suppress(TimeoutError):
            answer = line.recv(1000)
    return answer, time.monotonic() - began


def test_a_head_has_five_seconds_in_all(hub: RunningHub) -> None:
    with connected(hub, "127.0.0.3") as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: ")
        answer, took_s = trickled(line, b"a", every_s=0.25, within_s=8)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 4.5 < took_s < 7


@pytest.mark.parametrize(
    "early",
    [
        pytest.param(0, id="from the start", marks=pytest.mark.long),
        pytest.param(400_000, id="late"),
    ],
)
def test_a_body_below_the_floor_is_cut(hub: RunningHub, early: int) -> None:
    with connected(hub, f"127.0.0.{4 + bool(early)}") as line:
        line.sendall(b"POST /api/v1/inspect?size=2000000 HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        line.sendall(b"Content-Length: 1000000\r\n\r\n")
        line.sendall((900_000).to_bytes(8, "little") + b"{" + b" " * early)
        answer, took_s = trickled(line, b" ", every_s=0.5, within_s=20)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 8 < took_s < 17


@pytest.mark.long
def test_a_body_above_the_floor_is_awaited(hub: RunningHub) -> None:
    """2 KB a second, in pieces with four seconds between them."""
    with connected(hub, "127.0.0.6") as line:
        line.sendall(b"POST /api/v1/inspect?size=40000 HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        line.sendall(b"Content-Length: 40000\r\n\r\n")
        for _n in range(5):
            line.sendall(b" " * 8000)
            time.sleep(4)
        assert not line.recv(12).startswith(b"HTTP/1.1 408")
