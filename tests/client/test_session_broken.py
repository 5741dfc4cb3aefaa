"""Answers that break off while they are read."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from lorary.client import errors
from lorary.client.http.retries import Backoff
from lorary.client.http.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

WHOLE = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}'
SHORT = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a"'
NOTHING = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"a"'

BREAKS = [(SHORT, True), (SHORT, False), (NOTHING, False), (CHUNKED, True), (CHUNKED, False)]
IDS = ["reset", "short", "nothing", "chunked_reset", "chunked_short"]


def take_request(client: socket.socket) -> None:
    """Read all of a request: closing before would be a reset of its own."""
    with client.makefile("rb") as stream:
        head = list(iter(stream.readline, b"\r\n"))
        lengths = [int(line[15:]) for line in head if line.startswith(b"Content-Length:")]
        stream.read(sum(lengths))


@contextlib.contextmanager
def answering(*answers: tuple[bytes, bool]) -> Iterator[tuple[Session, list[float]]]:
    """Answer a connection each: so many bytes, then a reset or an orderly end."""
    pauses: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def serve() -> None:
            for answer, resets in answers:
                client, _address = listener.accept()
                with client:
                    take_request(client)
                    client.sendall(answer)
                    if resets:
                        heard.wait(5)
                        heard.clear()
                        linger = struct.pack("ii", 1, 0)
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        heard = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        client = Session(
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            timeout_s=5,
            backoff=Backoff(sleep=pauses.append),
        )
        send = client._send

        def hear(request: object) -> object:
            response = send(request)  # type: ignore[arg-type]
            heard.set()
            return response

        client._send = hear  # type: ignore[method-assign, assignment]
        try:
            yield client, pauses
        finally:
            client.close()
            thread.join()


@pytest.mark.parametrize("broken", BREAKS, ids=IDS)
def test_answer_that_breaks_off_is_asked_for_again(broken: tuple[bytes, bool]) -> None:
    with answering(broken, broken, (WHOLE, False)) as (session, pauses):
        assert session.json("GET", "me") == {"a": 1}
    assert len(pauses) == 2


@pytest.mark.parametrize("broken", BREAKS, ids=IDS)
def test_answer_that_always_breaks_off_is_an_error_of_the_network(
    broken: tuple[bytes, bool],
) -> None:
    with (
        answering(*[broken] * 5) as (session, pauses),
        pytest.raises(errors.Unreachable, match=r"The connection to 127\.0\.0\.1:\d+ broke"),
    ):
        session.json("GET", "me")
    assert len(pauses) == 4


@pytest.mark.parametrize("broken", BREAKS, ids=IDS)
def test_write_whose_answer_breaks_off_is_not_sent_twice(broken: tuple[bytes, bool]) -> None:
    with (
        answering(broken) as (session, pauses),
        pytest.raises(errors.Unreachable),
    ):
        session.json("POST", "tokens", data={})
    assert pauses == []


def test_write_that_may_be_repeated_is() -> None:
    with answering((SHORT, True), (WHOLE, False)) as (session, _pauses):
        assert session.json("POST", "uploads", data={}, is_repeatable=True) == {"a": 1}


def test_refusal_that_breaks_off_is_told_by_its_status() -> None:
    head = b"HTTP/1.1 403 No\r\nContent-Length: 99\r\n\r\n"
    with (
        answering((head + b'{"code"', False)) as (session, _pauses),
        pytest.raises(errors.Forbidden),
    ):
        session.json("GET", "me")


def test_silence_in_the_middle_of_an_answer_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            client, _address = listener.accept()
            with client:
                take_request(client)
                client.sendall(SHORT)
                done.wait(5)

        thread = threading.Thread(target=serve)
        thread.start()
        place = f"http://127.0.0.1:{listener.getsockname()[1]}"
        session = Session(place, timeout_s=0.1, backoff=Backoff(attempts=1))
        with pytest.raises(errors.TimedOut):
            session.json("GET", "me")
        done.set()
        thread.join()
