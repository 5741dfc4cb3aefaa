"""No caller holds more than a share of the threads, whoever it is and whatever comes."""

from __future__ import annotations

import dataclasses
import http.client
import json
import socket
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.test import override_settings

from hub.webserver.admission import Admission, client_key
from tests.waiting import MODULE, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

THREADS, SHARE, WAIT_S = 8, 2, 2.0
SERVER = f"""{MODULE.format(file="")}
from hub.webserver import gunicorn_worker
connections.WINDOW_S, gunicorn_worker.WAIT_S = 60.0, {WAIT_S}
"""
BODY = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n%s\r\nhell"

real = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="has every address of 127.0.0.0/8"),
]


@dataclass
class Asked:
    """An answer and how long it took."""

    status: int
    headers: Mapping[str, str | None]
    body: bytes
    took_s: float


class Visitors:
    """Those who ask a server, from several addresses."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self.port, self.stack = port, stack

    def hold(self, count: int, address: str, fields: bytes = b"") -> list[socket.socket]:
        """Send bodies that lack their last byte; a thread waits for each, or it for a thread."""
        lines = []
        for _n in range(count):
            line = socket.create_connection(
                ("127.0.0.1", self.port), timeout=20, source_address=(address, 0)
            )
            self.stack.enter_context(line)
            line.sendall(BODY % fields)
            lines.append(line)
        time.sleep(0.3)
        return lines

    def ask(self, address: str, path: str = "/", forwarded: str = "") -> Asked:
        """Ask for something short."""
        began = time.monotonic()
        source = (address, 0)
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=20, source_address=source
        )
        with closing(connection):
            connection.request("GET", path, headers={"X-Forwarded-For": forwarded})
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Asked(answer.status, named, answer.read(), time.monotonic() - began)


@pytest.fixture(scope="module")
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """Port of a server with some variables, which all tests with the same ones share."""
    environ = getattr(request, "param", {})
    with serving(tmp_path_factory.mktemp("share"), SERVER, THREADS, **environ) as (port, log):
        yield port
    assert "Traceback" not in log.read_text()


@pytest.fixture
def visitors(place: int) -> Iterator[Visitors]:
    with ExitStack() as stack:
        yield Visitors(place, stack)


def server_with(**environ: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("place", [environ], indirect=True)


class TestServer:
    """A server of eight threads."""

    pytestmark = real

    def test_a_caller_holds_a_quarter_of_the_threads(self, visitors: Visitors) -> None:
        visitors.hold(THREADS, "127.0.0.1")
        other = visitors.ask("127.0.0.2")
        assert (other.status, other.took_s < WAIT_S / 2) == (200, True)
        late = visitors.ask("127.0.0.1")
        assert (late.status, late.headers["retry-after"]) == (503, "10")
        assert WAIT_S / 2 < late.took_s < 2 * WAIT_S + 1
        problem = json.loads(late.body)
        assert (problem["status"], problem["code"]) == (503, "unavailable")

    def test_a_request_gets_the_thread_of_its_caller_once_that_is_free(
        self, visitors: Visitors
    ) -> None:
        first, _second, third = visitors.hold(SHARE + 1, "127.0.0.1")
        third.sendall(b"o")
        third.settimeout(0.3)
        with pytest.raises(TimeoutError):
            third.recv(12)
        first.sendall(b"o")
        for line in (first, third):
            line.settimeout(WAIT_S)
            assert line.recv(12) == b"HTTP/1.1 200"

    def test_who_a_stranger_says_to_forward_for_does_not_count(self, visitors: Visitors) -> None:
        for number in range(THREADS):
            visitors.hold(1, "127.0.0.1", b"X-Forwarded-For: 192.0.2.%d\r\n" % number)
        assert visitors.ask("127.0.0.2").status == 200
        assert visitors.ask("127.0.0.1", forwarded="192.0.2.99").status == 503

    def test_life_is_told_while_every_thread_is_busy(self, visitors: Visitors) -> None:
        for number in range(THREADS // SHARE):
            visitors.hold(SHARE, f"127.0.0.{10 + number}")
        for address in ("127.0.0.2", "127.0.0.10"):
            liveness_answer = visitors.ask(address, "/healthz/live")
            assert (liveness_answer.status, json.loads(liveness_answer.body)) == (
                200,
                {"status": "ok"},
            )
            assert liveness_answer.took_s < 0.5

    def test_a_head_beyond_its_limit_is_refused(self, visitors: Visitors) -> None:
        with socket.create_connection(("127.0.0.1", visitors.port), timeout=20) as line:
            line.sendall(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 11_000)
            assert line.recv(12) == b"HTTP/1.1 431"

    @server_with(LORARY_TRUST_PROXY="1", LORARY_BASE_URL="http://hub.example")
    def test_behind_a_proxy_callers_are_whom_it_forwards(self, visitors: Visitors) -> None:
        visitors.hold(THREADS, "127.0.0.1", b"X-Forwarded-For: 192.0.2.1\r\n")
        for number in range(2, 5):
            assert visitors.ask("127.0.0.1", forwarded=f"192.0.2.{number}").status == 200
        assert visitors.ask("127.0.0.1", forwarded="192.0.2.9, 192.0.2.1").status == 503

    @server_with(GUNICORN_CMD_ARGS="--worker-connections 30")
    def test_silent_connections_make_room(self, visitors: Visitors) -> None:
        lines = [
            visitors.stack.enter_context(socket.create_connection(("127.0.0.1", visitors.port)))
            for _n in range(60)
        ]
        assert visitors.ask("127.0.0.2").status == 200
        lines[0].settimeout(5)
        assert lines[0].recv(1) == b"", "the one that was silent the longest was closed"


CALLERS = {
    "an address": ("192.0.2.1", "192.0.2.1"),
    "a network": ("2606:4700:1:2:3:4:5:6", "2606:4700:1:2::/64"),
    "a machine of a local network": ("fd00:1:2:3::4", "fd00:1:2:3::4"),
    "a neighbour": ("fe80::1%eth0", "fe80::1%eth0"),
    "IPv4 in IPv6": ("::ffff:192.0.2.1", "192.0.2.1"),
    "no address": ("x:y", "x:y"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("name", CALLERS)
def test_a_caller_is_an_address_or_a_network(name: str) -> None:
    peer, expected = CALLERS[name]
    assert client_key(peer, b"", -1) == expected


def test_only_the_head_says_who_is_forwarded() -> None:
    head = b"GET / HTTP/1.1\r\nx-forwarded-for: a, 192.0.2.1 \r\n\r\n"
    body = b"\r\nX-Forwarded-For: 192.0.2.2\r\n"
    with override_settings(LORARY=dataclasses.replace(settings.LORARY, trust_proxy=True)):
        assert client_key("127.0.0.1", head + body, head.index(b"\r\n\r\n")) == "192.0.2.1"
        twice = b"GET / HTTP/1.1\r\nX-Forwarded-For: b\r\nX-Forwarded-For: 192.0.2.3"
        assert client_key("127.0.0.1", twice, len(twice)) == "192.0.2.3"
        assert client_key("127.0.0.1", b"GET / HTTP/1.1", 14) == "127.0.0.1"


def test_nothing_is_remembered_of_callers_who_are_gone() -> None:
    admission = Admission(8, 8)
    assert [admission.enter("a") for _n in range(3)] == [True, True, False]
    assert [admission.wait("a", n) for n in range(3)] == [True, True, False]
    assert [admission.leave("a") for _n in range(4)] == [0, 1, None, None]
    assert not admission.running
    assert not admission.has_waiting("a")
