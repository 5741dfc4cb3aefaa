"""A hub in real processes, for tests that need the whole thing."""

from __future__ import annotations

import atexit
import copy
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit, urlunsplit

import psycopg

from hub.config import prepare
from tests import migrated

if TYPE_CHECKING:
    from types import TracebackType

ROOT = migrated.ROOT
READY_S, STOP_S = 120.0, 15.0
#: Databases that a Redis has; hubs take them by turns, so that few share one at a time.
REDIS_DATABASES = 16

_COUNT = itertools.count()


def free_port() -> int:
    """Return a port on the loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def services() -> dict[str, str]:
    """Return database and broker of a new hub, where ``make test-matrix`` names servers.

    Nothing is named: it has SQLite and the embedded broker. Each hub gets a database of its own,
    which is dropped when the tests end.
    """
    found = {}
    if server := os.environ.get("LORARY_TEST_DATABASE_URL"):
        found["DATABASE_URL"] = _new_database(server)
    if broker := os.environ.get("LORARY_TEST_BROKER_URL"):
        parts = urlsplit(broker)
        if parts.scheme == "redis":
            parts = parts._replace(path=f"/{next(_COUNT) % REDIS_DATABASES}")
        found["BROKER_URL"] = urlunsplit(parts)
    return found


def _new_database(server: str) -> str:
    name = f"lorary_hub_{uuid.uuid4().hex[:12]}"
    _execute(server, f'CREATE DATABASE "{name}"')
    atexit.register(_execute, server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


def _execute(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())


class RunningHub:
    """``manage.py up`` on a data directory of its own, in a process group of its own.

    ```
    with RunningHub(tmp_path / "hub") as hub:
        token = hub.manage("token", "--user", "anna", "--create").strip()
        requests_to(hub.url)
    ```

    Attributes:
        data: The data directory; it survives a stop, so a hub can be started again on it.
        environ: Environment of all its processes; add ``LORARY_…`` before the start.
        log: File with what the processes say.
        ready_s: How long a start may take.
        root: The checkout whose code runs.
    """

    ready_s = READY_S
    root = ROOT

    def __init__(self, data: Path, *up_arguments: str, **settings: str) -> None:
        self.data = data
        self.up_arguments = up_arguments
        self._listen()
        self.log = data.with_suffix(".log")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LORARY_", "DJANGO_"))}
        own = {"LORARY_DATA": str(data), "LORARY_LOG_LEVEL": "WARNING"}
        named = services() | settings
        self.environ = kept | own | {f"LORARY_{name}": value for name, value in named.items()}
        self.process: subprocess.Popen[bytes] | None = None
        self._is_migrated = False

    def __enter__(self) -> Self:
        if not self._is_migrated:
            self.migrate()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def _listen(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def beside(self, *up_arguments: str, **settings: str) -> RunningHub:
        """Return a second one on the same files, rows and messages, which was not started."""
        other = copy.copy(self)
        other.up_arguments, other.process = up_arguments, None
        other._listen()
        other.log = self.data.with_suffix(".second.log")
        other.environ = self.environ | {f"LORARY_{name}": settings[name] for name in settings}
        return other

    def manage(self, *arguments: str, timeout_s: float = 120) -> str:
        """Run a management command on the hub's data and return what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        result = subprocess.run(
            command,
            cwd=self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def migrate(self) -> None:
        """Make the tables. Those of a new SQLite database are copied, which saves seconds."""
        file = self.data / migrated.DATABASE
        if "LORARY_DATABASE_URL" in self.environ or (file.exists() and file.stat().st_size):
            self.manage("migrate", "--verbosity", "0")
        else:
            prepare(self.data)
            migrated.copy_to(file)
            migrated.copy_static_to(self.data)
        self._is_migrated = True

    def start(self) -> None:
        """Start and wait until it says that it is ready."""
        command = [sys.executable, "manage.py", "up", "--port", str(self.port), *self.up_arguments]
        with self.log.open("ab") as log:
            offset = log.tell()
            self.process = subprocess.Popen(
                command,
                cwd=self.root,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + self.ready_s
        while not self.is_ready(offset):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def is_ready(self, offset: int) -> bool:
        """Whether it has said so, from a place in its log on."""
        return b"is ready at" in self.log.read_bytes()[offset:]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the process group, as Ctrl-C does, and return the exit code of the hub."""
        assert self.process is not None
        os.killpg(self.process.pid, number)
        return self.process.wait(STOP_S)

    def pids(self) -> dict[int, str]:
        """Return the living processes of the hub with their command lines (Linux)."""
        assert self.process is not None
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(") ")[2].split()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == self.process.pid and fields[0] != "Z":
                found[int(folder.name)] = command.strip()
        return found

    def pid_of(self, words: str) -> int:
        """Return the one process whose command line holds the words, once it is there.

        Workers start when the web server is ready, so shortly after ``start`` returns.
        """
        until = time.monotonic() + READY_S
        while not (found := [pid for pid, said in self.pids().items() if words in said]):
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)
        (pid,) = found
        return pid

    def wait_gone(self, within_s: float = STOP_S) -> bool:
        """Whether every process of the hub ends within the time."""
        until = time.monotonic() + within_s
        while self.pids() and time.monotonic() < until:
            time.sleep(0.05)
        return not self.pids()
