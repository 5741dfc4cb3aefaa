"""Wake-ups through each broker, in real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import redis
from kombu import Connection
from kombu.exceptions import KombuError

from tests.running import ROOT, RunningHub, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

#: Seconds within which a job starts while the broker is away: a look, and a wake-up not sent.
LATE_S = 3.0

#: Sends jobs that no handler does to a queue, and prints how long each waited for a
#: worker's look. The first also waits for the worker to start. A sweep comes every five seconds,
#: so three short waits in a row are the broker's doing.
SEND = """
import json, time
from registry.models import Job
from registry.jobs.queue import enqueue
waits = []
for number in range(4):
    began = time.monotonic()
    job = enqueue(queue="checks", task="nobody", args={}, key=f"wake-{began}")
    while not Job.objects.filter(pk=job.pk).exclude(reason="").exists():
        assert time.monotonic() - began < 20
        time.sleep(0.01)
    waits.append(time.monotonic() - began)
print(json.dumps(waits))
"""


@contextmanager
def redis_server(folder: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a Redis on the loopback that keeps nothing; yield its address and its process."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = port or free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0", server
        finally:
            server.send_signal(signal.SIGCONT)
            server.terminate()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 10
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                assert time.monotonic() < until, "Redis does not start"
                time.sleep(0.05)
            else:
                return


def waits(hub: RunningHub) -> list[float]:
    found: list[float] = json.loads(hub.manage("shell", "--verbosity", "0", "--command", SEND))
    return found[1:]


def test_embedded_broker_wakes_a_worker_at_once(tmp_path: Path) -> None:
    with RunningHub(tmp_path / "hub", "--queues", "checks") as hub:
        assert max(waits(hub)) < 1.5
        assert not list((hub.data / "broker" / "messages").iterdir())


@pytest.mark.service
def test_redis_wakes_a_worker_at_once(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path) as (url, _server),
        RunningHub(tmp_path / "hub", "--queues", "checks", BROKER_URL=url, CACHE_URL=url) as hub,
    ):
        assert max(waits(hub)) < 1.5


@pytest.mark.long
@pytest.mark.service
def test_jobs_run_within_seconds_while_redis_is_away(tmp_path: Path) -> None:
    hub = RunningHub(tmp_path / "hub", "--queues", "checks")
    with redis_server(tmp_path) as (url, server):
        hub.environ["LORARY_BROKER_URL"] = url
        with hub:
            waits(hub)
            server.send_signal(signal.SIGSTOP)  # connections stay open, without an answer
            assert max(waits(hub)) < LATE_S
            server.send_signal(signal.SIGCONT)
            server.kill()
            server.wait()
            assert max(waits(hub)) < LATE_S
            doctor = [sys.executable, "manage.py", "doctor", "--json"]
            report = subprocess.run(
                doctor, cwd=ROOT, env=hub.environ, capture_output=True, text=True, check=False
            )
            assert "workers look for jobs every second" in report.stdout
            with redis_server(tmp_path, urlsplit(url).port or 0):
                until = time.monotonic() + 20
                while "The broker is back" not in hub.log.read_text():
                    assert time.monotonic() < until, hub.log.read_text()
                    time.sleep(0.1)
                assert max(waits(hub)) < 1.5


@pytest.mark.service
def test_a_worker_that_starts_without_its_broker_runs_jobs(tmp_path: Path) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    with RunningHub(tmp_path / "hub", "--queues", "checks", BROKER_URL=away) as hub:
        assert max(waits(hub)) < LATE_S


@pytest.mark.long
@pytest.mark.service
def test_rabbitmq_wakes_a_worker_at_once(tmp_path: Path) -> None:
    url = os.environ.get("LORARY_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
    try:
        with Connection(url, connect_timeout=3) as connection:
            connection.ensure_connection(max_retries=1)
    except (KombuError, OSError) as error:
        pytest.skip(f"no RabbitMQ at LORARY_TEST_RABBITMQ ({url}): {error}")
    with RunningHub(tmp_path / "hub", "--queues", "checks", BROKER_URL=url) as hub:
        assert max(waits(hub)) < 1.5
