"""Headers behind URLs, read from a real local server."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import pytest

from lorary.safetensors import (
    HeaderError,
    SourceError,
    UrlSource,
    parse_header,
    read_header,
    read_scalars,
)
from lorary.safetensors.errors import SOURCE_CODES
from tests.builders.weights import safetensors

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = safetensors({"a": ("F32", ()), "w": ("F32", (60_000,))}, values={"a": 4.0})
LARGE = safetensors({f"module.{n:05}.weight": ("F16", (1,)) for n in range(2_000)})
PAGE = b"<!DOCTYPE html>" + b"<p>Sign in</p>" * 9_000


class Handler(BaseHTTPRequestHandler):
    """Files by path, each way of answering under a path of its own."""

    files: ClassVar[dict[str, bytes]] = {"small": SMALL, "large": LARGE, "empty": b"", "page": PAGE}
    seen: ClassVar[list[tuple[str, str | None, str | None]]]
    sent: ClassVar[list[int]]
    elsewhere: ClassVar[str] = ""

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Range"], self.headers["Authorization"]))
        way, _, name = (
            urlsplit(self.path).path.strip("/").partition("/")
        )  # of a proxy the whole URL
        getattr(self, f"answer_{way}")(name)

    def answer_ranges(self, name: str, tag: str = '"1"') -> None:
        data = self.files[name]
        begin, _, end = (self.headers["Range"] or "").removeprefix("bytes=").partition("-")
        first, last = int(begin), min(int(end), len(data) - 1)
        if first >= len(data):
            self.send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        if self.headers["If-Range"] not in {None, tag}:
            self.send(200, data, {"ETag": tag})
            return
        place = {"Content-Range": f"bytes {first}-{last}/{len(data)}", "ETag": tag}
        self.send(206, data[first : last + 1], place)

    def answer_whole(self, name: str) -> None:
        self.send(200, self.files[name])

    def answer_changing(self, name: str) -> None:
        self.answer_ranges(name, tag=f'"{len(self.seen)}"')

    def answer_shifted(self, name: str) -> None:
        self.send(206, self.files[name], {"Content-Range": f"bytes 5-9/{len(SMALL)}"})

    def answer_unplaced(self, name: str) -> None:
        self.send(206, self.files[name][:99])

    def answer_endless(self, name: str) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + self.files[name])

    def answer_cut(self, name: str) -> None:
        place = f"Content-Range: bytes 0-65535/{len(self.files[name])}\r\n".encode()
        self.wfile.write(b"HTTP/1.0 206 OK\r\nContent-Length: 65536\r\n" + place + b"\r\nabc")

    def answer_silent(self, name: str) -> None:
        self.close_connection = True

    def answer_noise(self, name: str) -> None:
        self.wfile.write(b"220 mail.example.com ESMTP\r\n")

    def answer_slow(self, name: str) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n")
        for _ in range(20):
            self.wfile.write(b".")
            time.sleep(0.05)

    def answer_stuck(self, name: str) -> None:
        time.sleep(0.5)

    def answer_gzip(self, name: str) -> None:
        self.send(200, gzip.compress(self.files[name]), {"Content-Encoding": "gzip"})

    def answer_status(self, name: str) -> None:
        self.send(int(name), b'{"error": "no"}')

    def answer_led(self, name: str) -> None:
        self.send(302, b"", {"Location": f"/ranges/{name}?signature=secret"})

    def answer_away(self, name: str) -> None:
        self.send(307, b"", {"Location": f"{self.elsewhere}/ranges/{name}"})

    def answer_circle(self, name: str) -> None:
        self.send(301, b"", {"Location": self.path})

    def answer_nowhere(self, name: str) -> None:
        self.send(302, b"")

    def answer_disk(self, name: str) -> None:
        self.send(302, b"", {"Location": "file:///etc/passwd"})

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for header, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(header, value)
        self.end_headers()
        try:
            for begin in range(0, len(body), 8192):
                self.wfile.write(body[begin : begin + 8192])
                self.sent.append(min(8192, len(body) - begin))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client took what it needed

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[tuple[str, type[Handler]]]:
    class Own(Handler):
        seen: ClassVar[list[tuple[str, str | None, str | None]]] = []
        sent: ClassVar[list[int]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", Own
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Handler]]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as started:
        yield started


def ranges(handler: type[Handler]) -> list[str | None]:
    return [asked for _, asked, _ in handler.seen]


def test_a_small_header_takes_one_request(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    with UrlSource(f"{url}/ranges/small") as source:
        header = read_header(source)
        assert header == parse_header(SMALL)
        alphas = read_scalars(source, header, list(header.tensors.values()))
    assert alphas == [4.0, None]
    assert ranges(handler) == ["bytes=0-65535"]


def test_a_large_header_takes_two_and_nothing_more(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    with UrlSource(f"{url}/ranges/large", first_bytes=4096) as source:
        header = read_header(source)
        assert header == parse_header(LARGE)
        alphas = read_scalars(source, header, list(header.tensors.values()))
    assert set(alphas) == {None}
    assert ranges(handler) == ["bytes=0-4095", f"bytes=4096-{header.data_start - 1}"]
    assert sum(handler.sent) == header.data_start


def test_a_server_without_ranges_is_left_when_the_header_is_there(
    server: tuple[str, type[Handler]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = server
    huge = LARGE[:8] + LARGE[8:] + bytes(30_000_000)
    monkeypatch.setitem(handler.files, "huge", huge)
    with UrlSource(f"{url}/whole/huge", first_bytes=4096) as source:
        assert source.size_bytes == len(huge)
        with pytest.raises(HeaderError, match="follow the last tensor"):
            read_header(source)
    assert len(handler.seen) == 1
    assert sum(handler.sent) < 20_000_000  # what the sockets hold, not the file


@pytest.mark.parametrize("way", ["ranges", "whole", "endless", "led", "away"])
@pytest.mark.parametrize("name", ["small", "large"])
def test_every_way_of_sending_gives_the_same_header(
    server: tuple[str, type[Handler]], way: str, name: str
) -> None:
    url, handler = server
    handler.elsewhere = url
    with UrlSource(f"{url}/{way}/{name}", first_bytes=300_000 if way == "endless" else 512) as file:
        assert read_header(file) == parse_header(Handler.files[name])


def test_an_empty_file_and_a_page_are_named(server: tuple[str, type[Handler]]) -> None:
    url, _ = server
    for path, code in (
        ("ranges/empty", "file_empty"),
        ("whole/page", "is_html"),
        ("endless/page", "is_html"),
    ):
        with UrlSource(f"{url}/{path}") as source, pytest.raises(HeaderError) as refused:
            read_header(source)
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("changing/large", "changed"),
        ("circle/small", "bad_redirect"),
        ("cut/large", "cut"),
        ("disk/small", "bad_url"),
        ("endless/small", "size_unknown"),
        ("gzip/small", "compressed"),
        ("noise/small", "server_failed"),
        ("nowhere/small", "bad_redirect"),
        ("shifted/small", "range_failed"),
        ("silent/small", "cut"),
        ("slow/small", "timed_out"),
        ("status/401", "denied"),
        ("status/403", "denied"),
        ("status/404", "not_found"),
        ("status/410", "not_found"),
        ("status/416", "range_failed"),
        ("status/418", "refused"),
        ("status/429", "busy"),
        ("status/503", "server_failed"),
        ("stuck/small", "timed_out"),
        ("unplaced/small", "size_unknown"),
    ],
)
def test_what_a_server_does_wrong_is_one_clear_error(
    server: tuple[str, type[Handler]], path: str, code: str
) -> None:
    with pytest.raises(SourceError) as refused:
        _read(f"{server[0]}/{path}?signature=secret", first_bytes=4096, timeout_s=0.2)
    assert refused.value.code == code
    assert refused.value.code in SOURCE_CODES
    assert "secret" not in refused.value.detail
    assert isinstance(refused.value, OSError)
    assert refused.value.status in {None, int(path[-3:]) if path.startswith("status") else None}


def _read(url: str, **options: Any) -> None:
    with UrlSource(url, **options) as source:
        read_header(source)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a",
        "data:text/plain,a",
        "/etc/passwd",
        "http://",
        "http://a b/c",
        "http://ada:secret@example.com/a",
        "http://example.com:port/a",
        "http://[::1/a",
        "javascript:alert(1)",
    ],
)
def test_only_web_addresses_are_opened(url: str) -> None:
    with pytest.raises(SourceError) as refused:
        UrlSource(url)
    assert refused.value.code == "bad_url"
    assert "secret" not in str(refused.value)


def test_a_token_is_sent_to_its_server_alone(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    with serving() as (other, stranger):
        handler.elsewhere = other
        _read(f"{url}/away/large", headers={"Authorization": "Bearer x"}, first_bytes=512)
        _read(f"{url}/led/small", headers={"Authorization": "Bearer x"})
    assert {token for _, _, token in handler.seen} == {"Bearer x"}
    assert len(stranger.seen) == 2
    assert {token for _, _, token in stranger.seen} == {None}


def test_a_proxy_is_used_but_not_for_this_computer(
    server: tuple[str, type[Handler]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = server
    with serving() as (proxy, between):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy")
        _read(f"{url}/ranges/small", headers={"Authorization": "Bearer x"})
        assert (len(handler.seen), between.seen) == (1, [])
        _read("http://far.example:81/ranges/small")
        assert [path for path, _, _ in between.seen] == ["http://far.example:81/ranges/small"]
        monkeypatch.setenv("no_proxy", "far.invalid:81")
        with pytest.raises(SourceError) as refused:
            _read("http://far.invalid:81/ranges/small", timeout_s=2)
    assert (refused.value.code, len(between.seen)) == ("unreachable", 1)


@pytest.mark.parametrize("header", [("A", "x\r\nB: y"), ("A b", "x"), ("A", "schlüssel")])
def test_a_header_that_cannot_be_sent_is_refused_unseen(header: tuple[str, str]) -> None:
    with pytest.raises(SourceError) as refused:
        UrlSource("http://127.0.0.1:9/a", headers=dict([header]))
    assert refused.value.code == "bad_header"
    assert header[1] not in refused.value.detail


def test_no_more_is_fetched_than_allowed(server: tuple[str, type[Handler]]) -> None:
    with pytest.raises(SourceError) as refused:
        _read(f"{server[0]}/ranges/large", most_bytes=4096)
    assert refused.value.code == "too_large"


def test_a_dead_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("http_proxy", f"http://user:secret@{place}")
        with pytest.raises(SourceError) as refused:
            _read("http://far.example/a", timeout_s=2)
    assert refused.value.code == "unreachable"
    assert f"cannot be reached through the proxy {place}" in refused.value.detail
    assert "secret" not in refused.value.detail


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(SourceError) as refused:
            UrlSource(f"http://127.0.0.1:{port}/a", timeout_s=2)
    assert refused.value.code == "unreachable"


def test_a_server_without_a_certificate_is_not_trusted(server: tuple[str, type[Handler]]) -> None:
    with pytest.raises(SourceError) as refused:
        UrlSource(server[0].replace("http:", "https:") + "/ranges/small", timeout_s=2)
    assert refused.value.code == "tls_failed"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("/ranges/small?a=b c#d", "/ranges/small?a=b%20c"),
        ("/ranges/small?é", "/ranges/small?%C3%A9"),
    ],
)
def test_addresses_are_sent_as_they_can_be(
    server: tuple[str, type[Handler]], given: str, sent: str
) -> None:
    _read(server[0] + given)
    assert server[1].seen[0][0] == sent
