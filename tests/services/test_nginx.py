"""Files through the hub's own server and through nginx, beside nginx alone with the same file."""

from __future__ import annotations

import base64
import hashlib
import http.client
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from benchmarks.setup.hubs import path_of
from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Answer, Caller, caller
from tests.nginx import Nginx, in_front_of, log_of, program
from tests.running import RunningHub, free_port
from tests.transfers import CASES, Outcome, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.transfers import Case

pytestmark = [
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.skipif(program() is None, reason="there is no nginx (apt-get install nginx)"),
]

LORA = kohya(DENOISERS["sd1", "diffusers"])
DIGEST = hashlib.sha256(LORA).hexdigest()
BLOB = f"{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}"
DATE = "Wed, 25 Nov 2015 00:00:00 GMT"


@dataclass(frozen=True)
class Servers:
    """Three ways to the same file, and one where the hub only decides.

    Attributes:
        hub: The hub's own server.
        deciding: A second one on the same data that leaves the sending to nginx.
        front: nginx before that one.
        alone: nginx with the files and nothing else.
        ada: Owner of everything.
        place: Address of the file below a hub.
        log: What nginx before the hub writes down.
    """

    hub: int
    deciding: int
    front: int
    alone: int
    ada: Caller
    place: str
    log: Path


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("nginx")
    data = folder / "hub"
    with RunningHub(data, "--queues", "checks") as hub:
        ada = caller(hub, "ada")
        published = ada.publish(LORA, "noir")
        assert published.status == 201, published.body
        url = published.document["files"][0]["download_url"]
        with (
            hub.beside("--no-worker", ACCEL="/blobs/") as deciding,
            Nginx.before(folder / "front", deciding.port, data) as front,
            Nginx.alone(folder / "alone", data / "files" / "blobs") as alone,
        ):
            yield Servers(
                hub.port,
                deciding.port,
                front.port,
                alone.port,
                ada,
                path_of(url),
                log_of(data),
            )


def ask(port: int, path: str, method: str, headers: Mapping[str, str]) -> Answer:
    return Caller(port).call(method, path, headers=headers)


def answer_to(port: int, path: str, case: Case) -> Answer:
    """Ask a server for a case, with its own validators."""
    told = ask(port, path, "HEAD", {}).headers
    headers = case.sent(etag=told["etag"], date=told.get("last-modified", DATE), size=len(LORA))
    return ask(port, path, case.method, headers)


def outcome(answer: Answer) -> Outcome:
    return outcome_of(answer.status, answer.headers, answer.body, len(LORA))


@pytest.mark.parametrize("name", CASES)
def test_every_way_answers_alike(servers: Servers, name: str) -> None:
    case, expected = CASES[name], CASES[name].expected(LORA)
    assert outcome(answer_to(servers.hub, servers.place, case)) == expected
    assert outcome(answer_to(servers.front, servers.place, case)) == expected
    alone = answer_to(servers.alone, f"/{BLOB}", case)
    if case.nginx is None:
        assert outcome(alone) == expected
    else:
        assert (alone.status, bool(case.why)) == (case.nginx, True)


#: Headers that a file has, whichever server sends it.
TOLD = {
    "etag": f'"{DIGEST}"',
    "repr-digest": f"sha-256=:{base64.b64encode(bytes.fromhex(DIGEST)).decode()}:",
    "content-disposition": 'attachment; filename="noir.safetensors"',
    "content-type": "application/octet-stream",
    "accept-ranges": "bytes",
    "cache-control": "public, no-cache",
    "x-content-type-options": "nosniff",
}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Range": "bytes=0-9"},
        {"Range": "bytes=5-", "If-Range": f'"{DIGEST}"'},
        {"If-Match": "*"},
    ],
    ids=["whole", "range", "If-Range", "If-Match"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nginx_tells_what_the_hub_tells(
    servers: Servers, headers: dict[str, str], method: str
) -> None:
    for port in (servers.hub, servers.front):
        answer = ask(port, servers.place, method, headers)
        assert {name: answer.headers.get(name) for name in TOLD} == TOLD
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "last-modified" not in answer.headers
        assert "x-accel-redirect" not in answer.headers


def test_the_hub_sends_no_byte_where_nginx_does(servers: Servers) -> None:
    for headers in ({}, {"Range": "bytes=5-9"}, {"Range": "bytes=5-9", "If-Range": f'"{DIGEST}"'}):
        answer = ask(servers.deciding, servers.place, "GET", headers)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["x-accel-redirect"] == f"/blobs/{BLOB}"


@pytest.mark.parametrize(
    "path",
    [
        f"/blobs/{BLOB}",
        f"//blobs/{BLOB}",
        f"/x/../blobs/{BLOB}",
        f"/%62lobs/{BLOB}",
        f"/blobs/../blobs/{BLOB}",
        f"/blobs/{BLOB[:5]}/",
        "/blobs/",
        "/blobs/../../lorary.sqlite3",
        "/blobs../lorary.sqlite3",
        "/blobs/%2e%2e/%2e%2e/secret_key",
    ],
)
def test_nobody_reaches_the_files_past_the_hub(servers: Servers, path: str) -> None:
    headers = {"X-Accel-Redirect": f"/blobs/{BLOB}", "X-Original-URI": f"/blobs/{BLOB}"}
    answer = ask(servers.front, path, "GET", headers)
    assert answer.status in {400, 404}, answer.status
    assert LORA[:200] not in answer.body


def test_a_private_file_is_for_its_owner(servers: Servers) -> None:
    data = kohya(DENOISERS["sd1", "diffusers"], rank=2)
    made = servers.ada.publish(data, "secret", visibility="private")
    assert made.status == 201, made.body
    place = path_of(made.document["files"][0]["download_url"])
    for headers in ({}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}):
        assert ask(servers.front, place, "GET", headers).status == 404
        assert ask(servers.front, place, "HEAD", headers).status == 404
    answer = Caller(servers.front, servers.ada.token).get(place)
    assert (answer.status, answer.body) == (200, data)
    assert answer.headers["cache-control"] == "private, no-store"
    digest = hashlib.sha256(data).hexdigest()
    internal = f"/blobs/{digest[:2]}/{digest[2:4]}/{digest}"
    assert Caller(servers.front, servers.ada.token).get(internal).status == 404


def test_a_download_through_nginx_counts_once(servers: Servers) -> None:
    page = servers.place.partition("/versions")[0]
    data = kohya(DENOISERS["sd1", "diffusers"], rank=3)
    made = servers.ada.publish(data, "counted")
    place = path_of(made.document["files"][0]["download_url"])
    page = place.partition("/versions")[0]
    for headers in ({"Range": "bytes=0-99"}, {"Range": "bytes=100-"}, {}):
        assert ask(servers.front, place, "GET", headers).status in {200, 206}
        assert ask(servers.front, place, "HEAD", headers).status == 200
    until = time.monotonic() + 20
    while (n := servers.ada.get(page).document["downloads"]) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert n == 2


def test_connections_are_kept_between_files(servers: Servers) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", servers.front, timeout=10)
    for _ in range(20):
        connection.request("GET", servers.place, headers={"Range": "bytes=7-70"})
        response = connection.getresponse()
        assert (response.status, response.read()) == (206, LORA[7:71])
        assert response.getheader("Connection") != "close"
    connection.close()


def test_no_token_of_an_address_stands_in_the_log(servers: Servers) -> None:
    token = servers.ada.token
    for place in (f"/api/v1/models?token={token}", f"/api/download/models/1?token={token}"):
        assert ask(servers.front, place, "GET", {}).status in {200, 302}
    sent = ask(servers.front, f"{servers.place}?token={token}", "GET", {})
    assert sent.body == LORA
    until = time.monotonic() + 5  # it writes when a request is over
    while f'"GET {servers.place}"' not in (said := servers.log.read_text()):
        assert time.monotonic() < until, said
        time.sleep(0.05)
    for place in ("/api/v1/models", "/api/download/models/1", servers.place):
        assert f'"GET {place}"' in said
    assert token not in said


def test_no_address_that_is_a_permission_stands_in_the_log(servers: Servers) -> None:
    ask(servers.front, "/api/download/files/a:pass-of-one/noir.safetensors", "GET", {})
    ask(servers.front, "/ada/noir.git/info/lfs/objects/a:link-of-one", "GET", {})
    ask(servers.front, "/ada/noir.git/info/lfs/objects/batch", "GET", {})
    until = time.monotonic() + 5  # it writes when a request is over
    while '"GET /ada/noir.git/info/lfs/objects/batch"' not in (said := servers.log.read_text()):
        assert time.monotonic() < until, said
        time.sleep(0.05)
    assert '"GET /api/download/files/"' in said
    assert '"GET /ada/noir.git/info/lfs/objects/"' in said
    assert "of-one" not in said


class _Node:
    """Takes a request, and answers it with its name or ends the connection."""

    def __init__(self, name: bytes) -> None:
        self.name, self.count = name, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _address = self.socket.accept()
            except OSError:  # closed
                return
            with line:
                request = b""
                while not request.endswith(b"}"):  # else the rest of the body resets the connection
                    request += line.recv(65536)
                self.count += 1
                if self.name:
                    line.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n" + self.name)


@pytest.mark.parametrize(
    ("place", "is_repeated"),
    [
        ("/api/models/ada/noir/commit/main", True),
        ("/api/models/ada/noir/preupload/main", True),
        ("/ada/noir.git/info/lfs/objects/batch", True),
        ("/api/repos/create", False),
        ("/api/models/ada/noir/tag/main", False),
        ("/api/v1/tokens", False),
    ],
)
def test_a_commit_goes_to_the_next_node_if_one_ends_meanwhile(
    tmp_path: Path, place: str, is_repeated: bool
) -> None:
    ending, answering, port = _Node(b""), _Node(b"done"), free_port()
    text = in_front_of(answering.port, tmp_path / "data", port)
    two = " ".join(f"server 127.0.0.1:{node.port} max_fails=0;" for node in (ending, answering))
    text = text.replace(f"server 127.0.0.1:{answering.port};", two)
    with Nginx(tmp_path / "nginx", port, text):
        statuses = [Caller(port).post(place, {"a": 1}).status for _ in range(4)]
    ending.socket.close()
    answering.socket.close()
    assert ending.count
    assert set(statuses) == ({200} if is_repeated else {200, 502})
