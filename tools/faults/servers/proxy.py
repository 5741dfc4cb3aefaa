"""Stands between a hub and its bucket, and is in a bad mood now and then."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What may be wrong with an answer. "After" means that what was asked for has been done.
MOODS = ("500", "503", "500 after", "reset", "reset after", "cut", "slow")
#: Longest delay of a slow answer, in seconds.
SLOW_S = 2.0
UPSTREAM_S = 60.0
#: Headers that are between two hops.
HOPS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})

ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>{code}</Code><Message>On purpose.</Message><RequestId>1</RequestId></Error>"""
CODES = {500: "InternalError", 503: "SlowDown"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner: FaultyProxy) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.owner = owner

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hung up."""


class _Relay(BaseHTTPRequestHandler):
    """One connection of the hub, or of a client with a signed address."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""

    def relay(self) -> None:
        """Pass a request on, or do something else with it."""
        mood = self.server.owner.mood()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if mood == "reset":
            self._reset()
        elif mood in {"500", "503"}:
            self._refuse(int(mood))
        else:
            if mood == "slow":
                time.sleep(self.server.owner.delay())
            self._answer(mood, *self._ask(body))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815 - the library's names

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        place = urlsplit(self.server.owner.upstream)
        connection = http.client.HTTPConnection(str(place.hostname), place.port, UPSTREAM_S)
        sent = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        try:
            connection.request(self.command, self.path, body=body or None, headers=sent)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        except (OSError, http.client.HTTPException):
            return 502, [], b""
        finally:
            connection.close()

    def _answer(self, mood: str, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        if mood == "500 after":
            self._refuse(500)
        elif mood == "reset after" or status == 502:
            self._reset()
        else:
            named = {name: value for name, value in headers if name.lower() not in HOPS}
            length = dict(headers).get("Content-Length", str(len(body)))
            self._send(status, named, body, length, is_cut=mood == "cut")

    def _refuse(self, status: int) -> None:
        text = ERROR.format(code=CODES[status]).encode()
        self._send(status, {"Content-Type": "application/xml"}, text, str(len(text)))

    def _send(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        length: str,
        *,
        is_cut: bool = False,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[: len(body) // 2] if is_cut else body)
        if is_cut:
            self.wfile.flush()
            self._reset()

    def _reset(self) -> None:
        """End the connection as a crashed machine would."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class FaultyProxy:
    """An HTTP proxy to one server on the loopback.

    Attributes:
        rate: Share of requests that go wrong.
        count: How many did, by mood.
    """

    def __init__(self, upstream: str, seed: int) -> None:
        self.upstream = upstream
        self.rate = 0.0
        self.count: Counter[str] = Counter()
        self.requests = 0
        self._random = Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def mood(self) -> str:
        """Decide on the next request; "" is a good one."""
        with self._lock:
            self.requests += 1
            if self._random.random() >= self.rate:
                return ""
            mood = self._random.choice(MOODS)
            self.count[mood] += 1
            return mood

    def delay(self) -> float:
        """Return the seconds of a slow answer."""
        with self._lock:
            return self._random.random() * SLOW_S
