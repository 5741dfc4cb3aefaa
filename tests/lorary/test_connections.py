"""Which proxy a request takes, and how it is reached."""

from __future__ import annotations

import importlib.util
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from lorary.connections import Connections, Origin, Proxy, ProxyInvalid, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

FAR = Origin("http", "hub.example", 80)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("host", ["localhost", "hub.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_computer_needs_none(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    assert is_loopback(host)
    assert Proxy.of(Origin("http", host, 80)) is None


@pytest.mark.parametrize("host", ["127.evil.example", "127.0.0.1.example", "localhost.example"])
def test_a_name_that_looks_like_it_is_another(host: str) -> None:
    assert not is_loopback(host)


def test_the_proxy_of_the_scheme_comes_before_the_one_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "proxy.example:1080")
    assert Proxy.of(FAR) == ("http://proxy.example:1080", "all_proxy")
    monkeypatch.setenv("http_proxy", "http://ada:secret@other.example:3128")
    found = Proxy.of(FAR)
    assert found is not None
    assert (found.setting, found.name) == ("http_proxy", "other.example:3128")
    monkeypatch.setenv("NO_PROXY", "hub.example")
    assert Proxy.of(FAR) is None


@pytest.mark.parametrize("url", ["ftp://proxy.example", "socks6://proxy.example", "http://"])
def test_a_proxy_of_no_known_kind_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", url)
    with pytest.raises(ProxyInvalid, match="all_proxy must be"):
        Connections(1).send("GET", "http://hub.example/", {})


@pytest.fixture
def socks() -> Iterator[tuple[str, list[bytes]]]:
    """A SOCKS 5 proxy that answers the one request itself."""
    asked: list[bytes] = []

    def serve() -> None:
        client, _address = listener.accept()
        with client, client.makefile("rb") as stream:
            greeting = stream.read(2)
            stream.read(greeting[1])
            client.sendall(b"\x05\x00")
            stream.read(4)
            host = stream.read(stream.read(1)[0])
            port = struct.unpack("!H", stream.read(2))[0]
            client.sendall(b"\x05\x00\x00\x01" + bytes(6))
            asked.append(host + f":{port} ".encode() + stream.readline())
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"socks5h://127.0.0.1:{listener.getsockname()[1]}", asked
        thread.join()


@pytest.mark.skipif(importlib.util.find_spec("socks") is None, reason="PySocks is an extra")
def test_a_socks_proxy_is_spoken_to(
    socks: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = socks
    monkeypatch.setenv("ALL_PROXY", url)
    connections = Connections(5)
    assert connections.send("GET", "http://hub.example/api", {}).read() == b"{}"
    connections.close()
    assert asked == [b"hub.example:80 GET /api HTTP/1.1\r\n"]


def test_a_socks_proxy_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(ProxyInvalid, match=r"pip install 'lorary\[socks\]'"):
        Connections(1).send("GET", "http://hub.example/", {})
