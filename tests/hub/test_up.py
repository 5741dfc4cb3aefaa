"""``manage.py up`` in real processes."""

from __future__ import annotations

import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that no test of this module ends."""
    with RunningHub(tmp_path_factory.mktemp("steady") / "hub") as running:
        yield running


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    with RunningHub(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def small(tmp_path: Path) -> Iterator[RunningHub]:
    """A hub that does not load torch."""
    with RunningHub(tmp_path / "hub", "--queues", "checks") as running:
        yield running


def health(hub: RunningHub) -> int:
    with urllib.request.urlopen(f"{hub.url}/healthz", timeout=5) as answer:
        return int(answer.status)


def test_it_serves_with_a_worker_for_each_queue(steady: RunningHub) -> None:
    assert health(steady) == 200
    assert steady.pid_of("worker --queues checks") != steady.pid_of("worker --queues render")


def test_ctrl_c_leaves_no_process(hub: RunningHub) -> None:
    began = time.monotonic()
    assert hub.stop(signal.SIGINT) == 0
    assert hub.wait_gone()
    assert time.monotonic() - began < 15


@pytest.mark.long
def test_a_signal_to_the_first_process_alone_leaves_none(hub: RunningHub) -> None:
    assert hub.process is not None
    hub.process.terminate()
    assert hub.process.wait(15) == 0
    assert hub.wait_gone()


def test_killing_the_first_process_takes_all_along(small: RunningHub) -> None:
    assert small.process is not None
    small.process.kill()
    small.process.wait(5)
    assert small.wait_gone(), small.pids()


def test_a_killed_worker_comes_back(steady: RunningHub) -> None:
    first = steady.pid_of("worker --queues render")
    os.kill(first, signal.SIGKILL)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        pids = [pid for pid, words in steady.pids().items() if "--queues render" in words]
        if pids and first not in pids:
            break
        time.sleep(0.1)
    assert pids
    assert first not in pids
    assert health(steady) == 200


def test_a_killed_web_server_ends_the_hub_with_an_error(small: RunningHub) -> None:
    assert small.process is not None
    master = min(pid for pid, words in small.pids().items() if "gunicorn" in words)
    os.kill(master, signal.SIGKILL)
    assert small.process.wait(15) == 1
    assert small.wait_gone()


def connections(hub: RunningHub) -> list[int]:
    """Return how many connections of clients each web process has, where it has any."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here, is_open = f":{hub.port:04X}", "01"
    served = {f"socket:[{f[9]}]" for f in lines if f[1].endswith(here) and f[3] == is_open}
    webs = [pid for pid, words in hub.pids().items() if "gunicorn" in words]
    held = [{str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()} for pid in webs]
    return [len(served & names) for names in held if served & names]


def kept_by_each_process(hub: RunningHub) -> list[int]:
    """Return how 16 connections that stay open are shared out."""
    with ExitStack() as stack:
        for _n in range(16):
            line = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=30)
            stack.callback(line.close)
            line.request("GET", "/healthz")
            assert line.getresponse().read()
        found = connections(hub)
    assert sum(found) == 16
    return found


def test_connections_that_are_kept_are_shared_out(steady: RunningHub) -> None:
    # The head start of the other process is a fraction of a millisecond: on a machine that is busy
    # with other things it may not be scheduled in time, but not again and again.
    tries = (kept_by_each_process(steady) for _try in range(5))
    assert any(len(found) == 2 and min(found) >= 4 for found in tries)


def test_no_web_process_has_torch_loaded(steady: RunningHub) -> None:
    assert health(steady) == 200
    until = time.monotonic() + 20
    web: list[int] = []
    while len(web) < 3 and time.monotonic() < until:  # one that listens, two that answer
        web = [pid for pid, words in steady.pids().items() if "gunicorn" in words]
    assert len(web) == 3
    for pid in web:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:  # noqa: PTH123 - not a file
            assert "libtorch" not in maps.read()


@pytest.mark.skipif("LORARY_TEST_DATABASE_URL" in os.environ, reason="the rows are elsewhere")
def test_the_database_is_in_wal_mode(steady: RunningHub) -> None:
    with sqlite3.connect(steady.data / "lorary.sqlite3") as rows:
        assert rows.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    rows.close()


def test_it_refuses_a_database_that_was_not_migrated(tmp_path: Path) -> None:
    hub = RunningHub(tmp_path / "hub")
    command = [sys.executable, "manage.py", "up", "--port", str(hub.port)]
    result = subprocess.run(
        command, cwd=ROOT, env=hub.environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 1
    assert "manage.py migrate" in result.stderr
