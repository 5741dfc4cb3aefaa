"""What ``manage.py up`` says until its web server answers."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.running import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
#: A web server that takes its time to start.
SLOW_WEB = """
import sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
class Web(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_args):
        pass
time.sleep(float(sys.argv[2]))
HTTPServer(("127.0.0.1", int(sys.argv[1])), Web).serve_forever()
"""
WORKER = "import time; print('worker', flush=True); time.sleep(60)"


@pytest.fixture
def started(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A supervisor with a worker and a web server that answers after some seconds."""
    port, web_s = free_port(), request.param
    code = textwrap.dedent(
        f"""
        import sys
        from hub.operations import supervisor
        from hub.operations.supervisor import Child, Supervisor
        supervisor.WAIT_FOR_WEB_S = 1.0
        web = [sys.executable, "-c", {SLOW_WEB!r}, "{port}", "{web_s}"]
        worker = [sys.executable, "-c", {WORKER!r}]
        hub = Supervisor([Child("web", web, is_essential=True), Child("worker", worker)], say=print)
        def say(text):
            print(text, flush=True)
        announcer = supervisor.Announcer(hub, "127.0.0.1", {port}, tell=say, say=say)
        sys.exit(hub.run(on_started=announcer.wait, on_poll=announcer.announce_if_ready))
        """
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.send_signal(signal.SIGTERM)


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


@pytest.mark.parametrize("started", [0], indirect=True)
def test_a_web_server_that_answers_soon_is_announced_before_workers_start(
    started: subprocess.Popen[str],
) -> None:
    ready, worker = lines(started, 2)
    assert ready.startswith("Lorary is ready at http://127.0.0.1:")
    assert worker == "worker"


@pytest.mark.parametrize("started", [3], indirect=True)
def test_one_that_takes_long_is_waited_for_aloud_and_announced_once(
    started: subprocess.Popen[str],
) -> None:
    waits, worker, ready = lines(started, 3)
    assert waits == "The web server has not responded after 1 s; still waiting."
    assert worker == "worker"
    assert ready.startswith("Lorary is ready at http://127.0.0.1:")
    time.sleep(0.5)  # of looks in which it might say so again
    started.send_signal(signal.SIGTERM)
    assert started.stdout is not None
    assert started.stdout.read() == ""


@pytest.mark.parametrize("started", [60], indirect=True)
def test_one_that_is_waited_for_can_be_stopped(started: subprocess.Popen[str]) -> None:
    lines(started, 2)
    started.send_signal(signal.SIGTERM)
    assert started.wait(10) == 0
