"""A server between a client and a hub that ends the first download half-way."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit


class _Relay(BaseHTTPRequestHandler):
    """A request, after which the connection ends."""

    server: CutOnce

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""

    def relay(self) -> None:
        """Ask the hub, and answer with all of it, or with half."""
        place = urlsplit(self.server.upstream)
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
        connection.request(self.command, self.path, headers=dict(self.headers.items()))
        response = connection.getresponse()
        body = response.read()
        connection.close()
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() != "connection":
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.server.ranges.append(self.headers.get("Range", ""))
            self.wfile.write(body if len(self.server.ranges) > 1 else body[: len(body) // 2])

    do_GET = do_HEAD = relay  # noqa: N815 - the library's names


class CutOnce(ThreadingHTTPServer):
    """Listens on the loopback.

    Attributes:
        ranges: What downloads asked for, "" for everything.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.upstream = upstream
        self.ranges: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.server_address[1]}"
