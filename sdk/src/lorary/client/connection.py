"""Connections to hosts: kept open between requests, through a proxy where one is set."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, unquote, urlsplit

from lorary.client.digests import BLOCK_BYTES
from lorary.client.errors import BadAnswer, SettingInvalid
from lorary.safetensors.proxies import proxy_of

__all__ = ["Origin", "Pool"]

CONNECT_TIMEOUT_S = 10.0
MAX_IDLE = 8


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request goes: scheme, host and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Return the origin of an absolute URL.

        Raises:
            BadAnswer: it is not an http or https URL.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            parts, port = SplitResult("", "", "", "", ""), 0
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            message = f"The hub names an address that is no URL: {url[:200]!r}."
            raise BadAnswer(message)
        return cls(parts.scheme, parts.hostname, port)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Certificates are checked; reading the system's takes a while, so once."""
    return ssl.create_default_context()


class Pool:
    """Open connections that wait for their next request; safe to use from several threads."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._idle: dict[Origin, list[http.client.HTTPConnection]] = {}
        self._busy: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()

    def take(self, origin: Origin) -> tuple[http.client.HTTPConnection, bool]:
        """Return a connection, and whether it has been used before."""
        with self._lock:
            idle = self._idle.get(origin)
            if idle:
                self._busy.add(idle[-1])
                return idle.pop(), True
        connection = self._new(origin)
        with self._lock:
            self._busy.add(connection)
        return connection, False

    def give_back(self, origin: Origin, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose answer was read to its end."""
        with self._lock:
            self._busy.discard(connection)
            idle = self._idle.setdefault(origin, [])
            if connection.sock is not None and len(idle) < MAX_IDLE:
                idle.append(connection)
                return
        connection.close()

    def drop(self, connection: http.client.HTTPConnection) -> None:
        """Close a connection that cannot be used again."""
        with self._lock:
            self._busy.discard(connection)
        connection.close()

    def abort(self) -> None:
        """End what is under way: whoever waits for the other side fails at once."""
        with self._lock:
            sockets = [connection.sock for connection in self._busy]
        for sock in sockets:
            with contextlib.suppress(OSError, AttributeError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def target(self, url: str) -> str:
        """Return what goes into the request line: a plain-http proxy wants the whole URL."""
        parts = urlsplit(url)
        path = parts.path or "/"
        path = f"{path}?{parts.query}" if parts.query else path
        if parts.scheme == "http" and _proxy(Origin.of(url)) is not None:
            return f"http://{parts.netloc.rpartition('@')[2]}{path}"
        return path

    def proxy_headers(self, origin: Origin) -> dict[str, str]:
        """Return the headers that a plain-http proxy needs with each request."""
        proxy = _proxy(origin) if origin.scheme == "http" else None
        return _proxy_credentials(proxy) if proxy is not None else {}

    def _new(self, origin: Origin) -> http.client.HTTPConnection:
        proxy = _proxy(origin)
        host = (proxy.hostname or "") if proxy is not None else origin.host
        port = (proxy.port or 80) if proxy is not None else origin.port
        connection: http.client.HTTPConnection
        if origin.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port, timeout=CONNECT_TIMEOUT_S, blocksize=BLOCK_BYTES, context=_tls()
            )
            if proxy is not None:
                connection.set_tunnel(origin.host, origin.port, _proxy_credentials(proxy))
        else:
            connection = http.client.HTTPConnection(
                host, port, timeout=CONNECT_TIMEOUT_S, blocksize=BLOCK_BYTES
            )
        connection.connect()
        connection.sock.settimeout(self._timeout_s)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection


def _proxy(origin: Origin) -> SplitResult | None:
    """Return the proxy on the way to an origin, if there is one.

    Raises:
        SettingInvalid: it is of a kind that is not spoken here.
    """
    address = proxy_of(origin.scheme, origin.host, origin.port)
    if not address:
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        msg = f"{origin.scheme}_proxy must be an http:// address."
        raise SettingInvalid(msg)
    return parts


def _proxy_credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
