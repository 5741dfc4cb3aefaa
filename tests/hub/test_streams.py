"""Bodies of requests come straight from the connection: all of them, and nothing behind."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

from hub.webserver import connections
from hub.webserver.connections import Body, make_direct

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = bytes(range(256)) * 4096
NEXT = b"GET /next HTTP/1.1\r\nHost: hub\r\n\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, connections.ClientSocket]]:
    theirs, ours = socket.socketpair()
    line = connections.ClientSocket.wrap(ours)
    line.settimeout(5)
    with theirs, line:
        yield theirs, line


def head(length: int) -> bytes:
    return f"PUT /part HTTP/1.1\r\nHost: hub\r\nContent-Length: {length}\r\n\r\n".encode()


def request_of(line: connections.ClientSocket) -> tuple[Any, RequestParser]:
    parser = RequestParser(Config(), line, ("127.0.0.1", 1))
    request = next(parser)
    make_direct(request)
    return request, parser


def sending(theirs: socket.socket, data: bytes) -> threading.Thread:
    sender = threading.Thread(target=theirs.sendall, args=[data])
    sender.start()
    return sender


@pytest.mark.parametrize("step", [1000, 4096, 256 * 1024, len(BODY), -1])
def test_all_of_a_body_is_read_in_steps_of_any_size(
    ends: tuple[socket.socket, connections.ClientSocket], step: int
) -> None:
    theirs, line = ends
    sender = sending(theirs, head(len(BODY)) + BODY)
    request, _parser = request_of(line)
    assert isinstance(request.body, Body)
    sha, steps = hashlib.sha256(), []
    while piece := request.body.read(step):
        sha.update(piece)
        steps.append(len(piece))
    sender.join()
    assert sha.digest() == hashlib.sha256(BODY).digest()
    assert not request.body.failed
    if step > 0:
        assert set(steps[:-1]) <= {step}, "only the last may be shorter"


def test_what_follows_a_body_is_the_next_request(
    ends: tuple[socket.socket, connections.ClientSocket],
) -> None:
    theirs, line = ends
    theirs.sendall(head(5) + b"first" + NEXT)  # comes with the head, in one piece
    request, parser = request_of(line)
    assert request.body.read(3) == b"fir"
    following = next(parser)  # which discards the rest
    assert (following.method, following.path) == ("GET", "/next")


def test_what_follows_a_long_body_is_the_next_request(
    ends: tuple[socket.socket, connections.ClientSocket],
) -> None:
    theirs, line = ends
    sender = sending(theirs, head(len(BODY)) + BODY + NEXT)
    request, parser = request_of(line)
    assert request.body.read() == BODY
    assert request.body.read(1) == b""
    assert next(parser).path == "/next"
    sender.join()


def test_lines_are_read_as_of_a_file(ends: tuple[socket.socket, connections.ClientSocket]) -> None:
    theirs, line = ends
    theirs.sendall(head(9) + b"one\ntwo\n3")
    assert list(request_of(line)[0].body) == [b"one\n", b"two\n", b"3"]


def test_a_body_that_is_cut_off_ends_early(
    ends: tuple[socket.socket, connections.ClientSocket],
) -> None:
    theirs, line = ends
    theirs.sendall(head(10) + b"half")
    theirs.shutdown(socket.SHUT_WR)
    body = request_of(line)[0].body
    assert body.read(10) == b"half"
    assert body.read(10) == b""


def test_a_body_that_stands_still_breaks_the_connection(
    ends: tuple[socket.socket, connections.ClientSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, line = ends
    theirs.sendall(head(10) + b"half")
    request, parser = request_of(line)
    monkeypatch.setattr(connections, "WINDOW_S", 0.2)
    line.start()
    line.settimeout(5)
    with pytest.raises(TimeoutError):
        request.body.read(10)
    assert request.body.failed
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        line.recv(1)
    assert time.monotonic() - began < 1.0, "its patience is used up"
    assert not parser.finish_body(), "nobody knows where the next request begins"


def test_a_body_of_unknown_length_is_read_as_before(
    ends: tuple[socket.socket, connections.ClientSocket],
) -> None:
    theirs, line = ends
    theirs.sendall(b"PUT / HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n")
    theirs.sendall(b"4\r\nfour\r\n0\r\n\r\n")
    body = request_of(line)[0].body
    assert not isinstance(body, Body)
    assert body.read() == b"four"


def test_a_body_that_was_closed_tells_no_next_request(
    ends: tuple[socket.socket, connections.ClientSocket],
) -> None:
    theirs, line = ends
    theirs.sendall(head(10) + b"half")
    request, parser = request_of(line)
    request.body.close()
    assert not parser.finish_body()
