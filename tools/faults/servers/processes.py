"""Processes that are ended without a word, and started again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import redis

from tests.running import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[3]
#: Seconds that a supervisor waits before it starts a killed worker again.
RESTART_S = 1.0
#: Seconds within which a worker ends that is asked to.
DRAIN_S = 15.0


class Broker:
    """A Redis on the loopback that keeps nothing: what is in it when it ends is lost."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("redis-server") or shutil.which("valkey-server")
        if found is None:
            sys.exit("redis-server is needed: apt-get install redis-server")
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.command = [found, *where, "--save", "", "--appendonly", "no"]
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()

    def restart(self, away_s: float) -> None:
        """Kill it, and start it empty after a while."""
        self._kill()
        time.sleep(away_s)
        self._start()
        self.restarts += 1

    def _start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        with redis.Redis.from_url(self.url) as client:
            while time.monotonic() < until:
                try:
                    client.ping()
                except redis.ConnectionError:
                    time.sleep(0.05)
                else:
                    return
        sys.exit("Redis does not start.")

    def _kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Workers:
    """Render workers, each started again a second after it was ended."""

    def __init__(self, count: int, environ: Mapping[str, str], log: Path) -> None:
        self.environ, self.log = dict(environ), log
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * count
        self.start_at = [0.0] * count
        self.kills = self.drains = self.failures = 0

    def __enter__(self) -> Self:
        self.tend()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process is not None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            if process is not None:
                process.wait(30)

    def tend(self) -> int:
        """Start those that are away and due; return how many ended by themselves so far."""
        for number, process in enumerate(self.processes):
            if process is not None and process.poll() is not None:
                self.failures += 1
                self.processes[number] = None
                self.start_at[number] = time.monotonic() + RESTART_S
            elif process is None and time.monotonic() >= self.start_at[number]:
                self.processes[number] = self._start()
        return self.failures

    def pid_of(self, number: int) -> int | None:
        """Return the process of one that is there."""
        process = self.processes[number % len(self.processes)]
        return None if process is None or process.poll() is not None else process.pid

    def kill(self, number: int) -> None:
        """End one with SIGKILL."""
        self.kills += self._end(number, signal.SIGKILL) is not None

    def drain(self, number: int) -> None:
        """End one with SIGTERM; it must end well."""
        code = self._end(number, signal.SIGTERM)
        assert code in {None, 0}, code
        self.drains += code is not None

    def _end(self, number: int, sign: signal.Signals) -> int | None:
        number %= len(self.processes)
        process = self.processes[number]
        if process is None:
            return None
        process.send_signal(sign)
        self.processes[number], self.start_at[number] = None, time.monotonic() + RESTART_S
        return process.wait(DRAIN_S)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "worker", "--queues", "render"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, cwd=ROOT, env=self.environ, stdout=log, stderr=subprocess.STDOUT
            )
