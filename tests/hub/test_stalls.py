"""Connections that stand still give their thread back."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.running import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

READY_S = 60.0

#: The hub's entry with a shorter patience, and behind it what sends a long file or reads a body.
MODULE = """
from hub import wsgi

def answer(environ, start_response):
    if environ["PATH_INFO"] == "/long":
        start_response("200 OK", [("Content-Length", "1000000000")])
        return environ["wsgi.file_wrapper"](open({file!r}, "rb"))
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

wsgi.STALL_S, wsgi.answer = 0.5, answer
application = wsgi.application
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port of a server with a single thread, and its log."""
    file, log, port = tmp_path / "long", tmp_path / "log", free_port()
    file.touch()
    os.truncate(file, 1_000_000_000)
    (tmp_path / "short_patience.py").write_text(MODULE.format(file=str(file)))
    options = ["--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "1"]
    quiet = ["--log-level", "warning", "--no-control-socket", "--pythonpath", str(tmp_path)]
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options, *quiet, "short_patience:application"],
            cwd=ROOT,
            env={**os.environ, "LORARY_DATA": str(tmp_path / "data")},
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(port, log)
        yield port, log
    finally:
        process.terminate()
        process.wait(30)


def wait_for(port: int, log: Path) -> None:
    until = time.monotonic() + READY_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
        except OSError:
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        else:
            return


def answered(port: int) -> bytes:
    """Return the answer to another request, which needs the only thread."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/", body=b"hello")
    body = connection.getresponse().read()
    connection.close()
    return body


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nfirst bytes",
    ],
    ids=["a reader", "a sender"],
)
def test_who_stands_still_keeps_no_thread(server: tuple[int, Path], request_line: bytes) -> None:
    port, log = server
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(request_line)
        if request_line.startswith(b"GET"):
            assert line.recv(100).startswith(b"HTTP/1.1 200")
        assert answered(port) == b"hello"
    assert "Traceback" not in log.read_text()
    assert "stood still" in log.read_text()


def test_who_reads_on_gets_everything(server: tuple[int, Path]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=30)
    connection.request("GET", "/long")
    response, total, block = connection.getresponse(), 0, bytearray(1024 * 1024)
    while taken := response.readinto(block):
        total += taken
    assert total == 1_000_000_000
    connection.close()
