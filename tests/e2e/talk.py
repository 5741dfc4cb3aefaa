"""Plain HTTP to a running hub, and a look at what it keeps."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tests.running import RunningHub

TIMEOUT_S = 60.0
CHUNK = 1024 * 1024
TABLES = ("adapter", "blob", "blobanatomy", "file", "revision", "version")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The slug of a problem."""
        assert self.headers["content-type"] == "application/problem+json", self.body[:200]
        document = self.document
        assert document["status"] == self.status
        assert document["type"].endswith(f"#{document['code']}")
        assert document["title"]
        assert document["detail"]
        return str(document["code"])

    @property
    def findings(self) -> list[str]:
        """Codes of the findings that a refusal lists."""
        return [finding["code"] for finding in self.document["findings"]]


@dataclass(frozen=True)
class Caller:
    """Somebody with a token, or a stranger without one."""

    port: int
    token: str = ""

    def call(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request; a dict travels as JSON."""
        sent = dict(headers or {})
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if isinstance(body, dict):
            body, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send GET."""
        return self.call("GET", path, headers=headers)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send POST with JSON."""
        return self.call("POST", path, body or {})

    def announce(self, name: str, size: int, sha256: str | None = None) -> Answer:
        """Announce a file."""
        return self.post("/api/v1/uploads", {"path": name, "size": size, "sha256": sha256})

    def send(
        self, data: bytes, name: str = "noir.safetensors", sha256: str | None = None
    ) -> Answer:
        """Announce a file and send it as one body; returns the last answer."""
        announced = self.announce(name, len(data), sha256)
        if announced.status != 201:
            return announced
        return self.call("PUT", f"/api/v1/uploads/{announced.document['id']}/content", data)

    def accepted(self, data: bytes) -> str:
        """Send a file, wait for the checks, and return the upload's id."""
        return self.accepted_stream([data], len(data))

    def accepted_stream(self, chunks: Iterable[bytes], size: int) -> str:
        """Do the same with a file that is not in memory."""
        upload = self.sent_stream(chunks, size)
        assert self.final_state(upload) == "accepted"
        return upload

    def sent_stream(
        self, chunks: Iterable[bytes], size: int, name: str = "noir.safetensors"
    ) -> str:
        """Send a file that is not in memory as one body, and return the upload's id."""
        upload = str(self.announce(name, size).document["id"])
        place = f"/api/v1/uploads/{upload}/content"
        answer = self.call("PUT", place, chunks, {"Content-Length": str(size)})
        assert answer.status == 200, answer.body
        return upload

    def final_state(self, upload: str, within_s: float = 60) -> str:
        """Wait until an upload is decided and return its state."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            state = str(self.get(f"/api/v1/uploads/{upload}").document["state"])
            if state not in {"receiving", "checking"}:
                return state
            time.sleep(0.1)
        return "undecided"

    def publish(self, data: bytes, name: str, **adapter: Any) -> Answer:
        """Send a file and publish it as the first version of a new adapter."""
        return self.publish_stream([data], len(data), name, **adapter)

    def publish_stream(
        self, chunks: Iterable[bytes], size: int, name: str, **adapter: Any
    ) -> Answer:
        """Do the same with a file that is not in memory."""
        upload = self.accepted_stream(chunks, size)
        made = self.post("/api/v1/adapters", {"name": name, **adapter})
        assert made.status == 201, made.body
        place = f"/api/v1/adapters/{made.document['full_name']}/versions"
        return self.post(place, {"uploads": [upload]})


@dataclass(frozen=True)
class Kept:
    """What a hub holds: files of its store by digest of their content, and rows."""

    files: Mapping[str, int]
    rows: Mapping[str, int]


def caller(hub: RunningHub, name: str = "") -> Caller:
    """Return a new user of the hub with a token; without a name, a stranger."""
    token = hub.manage("token", "--user", name, "--create").strip() if name else ""
    return Caller(hub.port, token)


def kill_all(hub: RunningHub) -> None:
    """End every process at once, as a power cut would, and start the hub again."""
    assert hub.process is not None
    os.killpg(hub.process.pid, signal.SIGKILL)
    hub.process.wait(10)
    assert hub.wait_gone()
    hub.start()


def kept(hub: RunningHub) -> Kept:
    """Look into the data directory and the rows of a hub."""
    store = hub.data / "files"
    files = [path for path in store.rglob("*") if path.is_file()] if store.exists() else []
    return Kept(files={str(path): path.stat().st_size for path in files}, rows=_counts(hub))


def _counts(hub: RunningHub) -> dict[str, int]:
    """Return how many rows there are of each table that something sent may leave."""
    count = "SELECT count(*) FROM registry_{}"
    if url := hub.environ.get("LORARY_DATABASE_URL"):
        with psycopg.connect(url) as rows:
            found = {name: rows.execute(count.format(name).encode()).fetchone() for name in TABLES}
    else:
        file = f"file:{hub.data / 'lorary.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(file, uri=True)) as lite:
            found = {name: lite.execute(count.format(name)).fetchone() for name in TABLES}
    return {name: int(row[0]) for name, row in found.items() if row is not None}


def exchange(port: int, request: bytes, *, is_cut: bool = False) -> tuple[int, bytes]:
    """Send bytes as they are and return status and body; `is_cut` ends the sending side."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as line:
        line.sendall(request)
        if is_cut:
            line.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(line)
        response.begin()
        return response.status, response.read()


def sent_from(path: Path) -> Iterator[bytes]:
    """Yield a file in pieces, for a body that is not in memory."""
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            yield chunk
