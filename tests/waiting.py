"""A web server with few threads, whose application waits for its clients."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from tests.running import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READY_S = 60.0
#: What tests of this process have is not for the server.
OWN = {"DJANGO_SETTINGS_MODULE": "hub.settings.base"}

#: The hub's entry with a shorter patience, and behind it what sends a long file or reads a body.
MODULE = """
from hub import wsgi
from hub.webserver import connections

def answer(environ, start_response):
    if environ["PATH_INFO"] == "/long":
        start_response("200 OK", [("Content-Length", "1000000000")])
        return environ["wsgi.file_wrapper"](open({file!r}, "rb"))
    if environ["PATH_INFO"] == "/blocks":
        start_response("200 OK", [("Content-Length", "1000000000")])
        return (bytes(1_000_000) for _n in range(1000))
    if environ["PATH_INFO"] == "/refused":
        try:
            connections.discard(environ["wsgi.input"].read, environ)
        except OSError:
            pass
        start_response("403 Forbidden", [("Content-Length", "0")])
        return []
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

connections.SEND_BUDGET_S, connections.WINDOW_S = 1.0, 0.5
connections.QUEUE_POLL_S, connections.MAX_DISCARD_S = 0.1, 0.5
wsgi.answer = answer
application = wsgi.application
"""


#: The hub itself with a shorter patience.
WHOLE = """
from hub import wsgi
from hub.webserver import connections
connections.WINDOW_S = 0.5
application = wsgi.application
"""


@contextmanager
def serving(
    tmp_path: Path, text: str, threads: int = 1, **environ: str
) -> Iterator[tuple[int, Path]]:
    """Port of a server with a few threads, and its log."""
    log, port = tmp_path / "log", free_port()
    (tmp_path / "short_patience.py").write_text(text)
    options = [
        "--bind",
        f"127.0.0.1:{port}",
        "--worker-class",
        "hub.webserver.gunicorn_worker.Worker",
    ]
    quiet = ["--log-level", "warning", "--no-control-socket", "--pythonpath", str(tmp_path)]
    command = [*options, "--threads", str(threads), *quiet, "short_patience:application"]
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *command],
            cwd=ROOT,
            env={**os.environ, **OWN, "LORARY_DATA": str(tmp_path / "data"), **environ},
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
            answered(port)
        except OSError:
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        else:
            return


def answered(port: int) -> bytes:
    """Return the answer to another request, which needs the only thread."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", "/", body=b"hello")
        return connection.getresponse().read()
