"""Connections to servers, with the proxies and certificates that are configured on this computer.

The client of a hub and the reader of headers behind URLs both connect through this module.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import truststore
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.util import Timeout, make_headers, parse_url

from lorary.environment import is_offline

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

CONNECT_TIMEOUT_S = 10.0
BLOCK_BYTES = 1024 * 1024
_PARALLEL = 8
_PROXY_SCHEMES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})
_SOCKET_OPTIONS = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]


class ProxyInvalid(ValueError):
    """The environment specifies a proxy that cannot be used."""


class OfflineMode(ConnectionError):
    """``LORARY_OFFLINE`` forbids connections."""


class Origin(NamedTuple):
    """The target of a request: scheme, host and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Return the origin of an absolute http or https URL.

        Raises:
            ValueError: it is not one.
        """
        parts = parse_url(url)  # as urllib3 does, which connects by it
        if parts.scheme not in {"http", "https"} or not parts.host:
            raise ValueError(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.host.strip("[]"), port)


def is_loopback(host: str) -> bool:
    """Whether a host name always refers to this computer, whatever a name server says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Proxy(NamedTuple):
    """A proxy that the environment specifies."""

    url: str  # its address, which may contain a password
    setting: str  # the environment variable

    @classmethod
    def of(cls, origin: Origin) -> Proxy | None:
        """Return the proxy on the way to an origin, if there is one.

        Requests to this computer bypass proxies: a proxy would see data that is meant for a local
        server, or would send the request to itself.
        """
        if is_loopback(origin.host) or proxy_bypass(f"{origin.host}:{origin.port}"):
            return None
        known = getproxies()
        name = origin.scheme if known.get(origin.scheme) else "all"
        url = known.get(name)
        return cls(url if "://" in url else f"http://{url}", f"{name}_proxy") if url else None

    @property
    def name(self) -> str:
        """``host:port``, without a password."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Return a TLS context with the system's certificates; cached, because reading them is slow."""
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Connections:
    """Connections that are kept open between requests; thread-safe.

    Args:
        timeout_s: Maximum time without data from the server, in seconds.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._managers: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._opened: WeakSet[HTTPConnection] = WeakSet()
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Iterable[bytes | memoryview] | None = None,
        size_bytes: int = 0,
    ) -> BaseHTTPResponse:
        """Send a request once, and return the response with an unread body.

        The connection is kept open if the body is read to its end.

        Raises:
            OfflineMode: connections are forbidden.
            ProxyInvalid: the environment specifies a proxy that cannot be used.
            HTTPError: of urllib3; there is no response.
        """
        if is_offline():
            raise OfflineMode
        # urllib3 applies the connect timeout to each block that is sent.
        connect_s = CONNECT_TIMEOUT_S if size_bytes <= BLOCK_BYTES else self._timeout_s
        return self._manager(Origin.of(url)).urlopen(
            method,
            url,
            body=body,
            headers={"Accept-Encoding": "identity", **headers},
            timeout=Timeout(min(connect_s, self._timeout_s), self._timeout_s),
            redirect=False,
            retries=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )

    def abort(self) -> None:
        """End all running requests: threads that wait for a response fail immediately."""
        with self._lock:
            opened = list(self._opened)
        for connection in opened:
            with contextlib.suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            managers, self._managers = self._managers, {}
        for manager in managers.values():
            manager.clear()

    def _manager(self, origin: Origin) -> urllib3.PoolManager:
        proxy = Proxy.of(origin)
        key = (origin.scheme, proxy.url if proxy else "")
        with self._lock:
            if key not in self._managers:
                self._managers[key] = self._new_manager(origin.scheme, proxy)
            return self._managers[key]

    def _new_manager(self, scheme: str, proxy: Proxy | None) -> urllib3.PoolManager:
        make = urllib3.PoolManager if proxy is None else _maker(proxy)
        manager = make(
            maxsize=_PARALLEL,
            socket_options=_SOCKET_OPTIONS,
            ssl_context=_tls() if scheme == "https" else None,
        )
        manager.pool_classes_by_scheme = {
            name: self._tracking(pool)  # type: ignore[misc] # it is only called
            for name, pool in manager.pool_classes_by_scheme.items()
        }
        return manager

    def _tracking(
        self, make: Callable[..., HTTPConnectionPool]
    ) -> Callable[..., HTTPConnectionPool]:
        """Return a pool manager whose connections `abort` can find."""

        def tracking(*arguments: object, **options: object) -> HTTPConnectionPool:
            pool = make(*arguments, **options)
            connect: Callable[..., Any] = pool.ConnectionCls

            def opened(*arguments: object, **options: object) -> HTTPConnection:
                connection: HTTPConnection = connect(*arguments, **options)
                with self._lock:
                    self._opened.add(connection)
                return connection

            pool.ConnectionCls = opened  # type: ignore[assignment] # it is only called
            return pool

        return tracking


def _maker(proxy: Proxy) -> Callable[..., urllib3.PoolManager]:
    """Return the factory of managers for connections through a proxy."""
    parts = urlsplit(proxy.url)
    if parts.scheme not in _PROXY_SCHEMES or not parts.hostname:
        msg = f"{proxy.setting} must be an http://, https:// or socks5:// address."
        raise ProxyInvalid(msg)
    if parts.scheme.startswith("socks"):
        if importlib.util.find_spec("socks") is None:
            msg = f"{proxy.setting} names a SOCKS proxy: pip install 'lorary[socks]' to use it."
            raise ProxyInvalid(msg)
        from urllib3.contrib.socks import SOCKSProxyManager  # noqa: PLC0415 - an extra

        return partial(SOCKSProxyManager, proxy.url)
    pair = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return partial(
        urllib3.ProxyManager,
        proxy.url,
        proxy_headers=make_headers(proxy_basic_auth=pair),
        proxy_ssl_context=_tls() if parts.scheme == "https" else None,
    )


def root_of(error: BaseException) -> BaseException:
    """Return the error that caused an error of urllib3, such as one of the system."""
    while isinstance(error, urllib3.exceptions.HTTPError):
        inner = error.__cause__ or error.__context__
        if inner is None:
            return error
        error = inner
    return error
