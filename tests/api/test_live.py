"""On the wire: what a test client cannot show, against the real server."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LORA = kohya(DENOISERS["sd1", "diffusers"])
MIB = 1024 * 1024


class Wire:
    """A hub, a token, and requests as bytes."""

    def __init__(self, hub: RunningHub, secret: str) -> None:
        self.hub = hub
        self.secret = secret

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection."""
        return http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=60)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send JSON (or bytes) on a connection of its own."""
        connection = self.connect()
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        own = {"Authorization": f"Bearer {self.secret}", **kind, **named}
        connection.request(method, f"/api/v1/{path}", sent, own)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data) if data else None

    def announce(self, size: int) -> str:
        """Return the path of a new upload."""
        body = {"path": "noir.safetensors", "size": size}
        _status, upload = self.call("POST", "uploads", body)
        return f"uploads/{upload['id']}"

    def raw(self, head: str, *body: bytes) -> tuple[int, dict[str, Any]]:
        """Send a request as written, body and all, and only then listen."""
        with socket.create_connection(("127.0.0.1", self.hub.port), timeout=60) as wire:
            own = [f"Authorization: Bearer {self.secret}", "Host: localhost"]
            wire.sendall("\r\n".join([*head.splitlines(), *own, "", ""]).encode())
            for block in body:
                wire.sendall(block)
            answer = http.client.HTTPResponse(wire)
            answer.begin()
            return answer.status, json.loads(answer.read())


@pytest.fixture(scope="module")
def wire(quiet_hub: RunningHub) -> Wire:
    return Wire(quiet_hub, quiet_hub.manage("token", "--user", "ada", "--create").strip())


def test_a_body_without_a_length_is_refused(wire: Wire) -> None:
    place = wire.announce(len(LORA))
    status, told = wire.raw(
        f"PUT /api/v1/{place}/content HTTP/1.1\nTransfer-Encoding: chunked",
        b"3\r\nabc\r\n0\r\n\r\n",
    )
    assert (status, told["code"]) == (411, "length_required")


@pytest.mark.parametrize("mib", [1, 20])
def test_a_client_that_sends_too_much_and_then_listens_hears_why(wire: Wire, mib: int) -> None:
    place = wire.announce(len(LORA))
    head = f"PUT /api/v1/{place}/content HTTP/1.1\nContent-Length: {mib * MIB}"
    status, told = wire.raw(head, *[bytes(MIB)] * mib)
    assert (status, told["code"]) == (422, "size_mismatch")
    assert wire.call("GET", place)[1]["state"] == "receiving"


@pytest.mark.parametrize("digits", [19, 400, 4000])
def test_a_length_beyond_every_number_is_refused(wire: Wire, digits: int) -> None:
    place = wire.announce(len(LORA))
    for target in (f"PUT /api/v1/{place}/content", "POST /signin", "POST /api/repos/create"):
        head = f"{target} HTTP/1.1\nContent-Length: {'9' * digits}"
        status, told = wire.raw(head, b"x")
        assert (status, told["code"]) == (400, "malformed_request")


def test_dots_that_a_client_did_not_resolve_are_refused(wire: Wire) -> None:
    for path in ("/api/v1/%2e%2e/v1/me", "/media/images/../../api/v1/me", "/x/a%2F.%2E%2Fb"):
        status, told = wire.raw(f"GET {path} HTTP/1.1")
        assert (status, told["code"]) == (400, "malformed_request")


def test_a_stranger_s_gigabyte_is_refused_before_it_is_sent(wire: Wire) -> None:
    place = wire.announce(len(LORA))
    secret, wire.secret = wire.secret, "lor_wrong"
    try:
        head = f"PUT /api/v1/{place}/content HTTP/1.1\nContent-Length: {8 * MIB}"
        status, told = wire.raw(head, *[bytes(MIB)] * 8)
    finally:
        wire.secret = secret
    assert (status, told["code"]) == (401, "not_authenticated")


def test_a_client_that_leaves_midway_may_come_back(wire: Wire) -> None:
    place = wire.announce(len(LORA))
    with socket.create_connection(("127.0.0.1", wire.hub.port), timeout=60) as left:
        left.sendall(
            f"PUT /api/v1/{place}/content HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {wire.secret}\r\nContent-Length: {len(LORA)}\r\n\r\n".encode()
            + LORA[:1000]
        )
    status, upload = wire.call("PUT", f"{place}/content", LORA)
    assert (status, upload["state"] in {"checking", "accepted"}) == (200, True)
    assert upload["sha256"] == hashlib.sha256(LORA).hexdigest()


def test_a_refused_request_leaves_the_connection_usable(wire: Wire) -> None:
    connection = wire.connect()
    headers = {"Authorization": f"Bearer {wire.secret}", "Content-Type": "application/json"}
    for body, status in ((b"{", 400), (b'{"name": "-"}', 400), (b'{"nam": 1}', 400)):
        connection.request("POST", "/api/v1/adapters", body, headers)
        answer = connection.getresponse()
        assert answer.status == status
        assert json.loads(answer.read())["status"] == status
    connection.request("GET", "/api/v1/me", headers=headers)
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(
    ("header", "first", "length", "status"),
    [
        ("", 0, len(LORA), 200),
        ("bytes=0-0", 0, 1, 206),
        ("bytes=1000-200999", 1000, 200_000, 206),
        ("bytes=-7", len(LORA) - 7, 7, 206),
        ("bytes=5-", 5, len(LORA) - 5, 206),
    ],
)
def test_the_server_sends_exactly_the_range(
    wire: Wire, published: str, header: str, first: int, length: int, status: int
) -> None:
    connection = wire.connect()
    for method in ("GET", "HEAD", "GET"):  # on one connection: no byte too many was sent
        connection.request(method, published, headers={"Range": header} if header else {})
        answer = connection.getresponse()
        wanted = status if method == "GET" else 200
        assert answer.status == wanted
        body = answer.read()
        if method == "GET":
            assert body == LORA[first : first + length]
        else:
            assert (body, answer.headers["Content-Length"]) == (b"", str(len(LORA)))
    connection.close()


@pytest.fixture(scope="module")
def published(wire: Wire) -> str:
    """Return the address of a published file; its checks are run by hand."""
    wire.call("POST", "adapters", {"name": "noir"})
    place = wire.announce(len(LORA))
    wire.call("PUT", f"{place}/content", LORA)
    code = "import registry.tasks, registry.jobs.worker_process as w; w.drain('checks')"
    wire.hub.manage("shell", "-c", code)
    upload = wire.call("GET", place)[1]
    status, version = wire.call("POST", "adapters/ada/noir/versions", {"uploads": [upload["id"]]})
    assert status == 201, version
    return "/api/v1/adapters/ada/noir/versions/v1/files/noir.safetensors"
