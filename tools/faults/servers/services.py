"""PostgreSQL and RabbitMQ on free ports of the loopback, in scratch folders, to be broken."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg
from kombu import Connection
from kombu.exceptions import KombuError

from tests.running import free_port
from tools.faults.trials import Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START_S = 60.0


def wait_until(is_so: Callable[[], object], within_s: float, what: str) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: it did not come about.
    """
    until = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(0.05)


def postgres_programs() -> Path | None:
    """Return the folder of the newest PostgreSQL programs, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


class Postgres:
    """A cluster of its own; ``restart`` ends it as a crash would.

    Args:
        folder: Where it lies.
        connections: How many it takes; a hub has enough with PostgreSQL's own default.
    """

    def __init__(self, folder: Path, *, connections: int = 100) -> None:
        programs = postgres_programs()
        if programs is None:
            message = "PostgreSQL is not installed (apt-get install postgresql)"
            raise Skipped(message)
        self.programs, self.folder, self.connections = programs, folder, connections
        self.port = free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.folder / "data"
        if not data.exists():
            self._create(str(data))
        self._start()
        return self

    def _create(self, data: str) -> None:
        self._run(["initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8"])

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGINT)

    def restart(self, away_s: float = 0.0) -> None:
        """End it without a word to anybody (an immediate shutdown), and start it after a while."""
        self._end(signal.SIGQUIT)
        time.sleep(away_s)
        self._start()

    def execute(self, statement: str) -> None:
        """Run one statement, outside of a transaction."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def database(self, name: str, template: str = "") -> str:
        """Make a database and return its address."""
        like = f' TEMPLATE "{template}"' if template else ""
        self.execute(f'CREATE DATABASE "{name}"{like}')
        return f"postgres://postgres@127.0.0.1:{self.port}/{name}"

    def _as_user(self) -> list[str]:
        """Return the prefix that runs a command as a user PostgreSQL accepts: never root."""
        if os.geteuid() != 0:
            return []
        account = pwd.getpwnam("postgres")
        os.chown(self.folder, account.pw_uid, account.pw_gid)
        who = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        return ["setpriv", *who]

    def _command(self, arguments: Sequence[str]) -> list[str]:
        program, *rest = arguments
        return [*self._as_user(), str(self.programs / program), *rest]

    def _run(self, arguments: Sequence[str]) -> None:
        quiet = subprocess.DEVNULL
        subprocess.run(self._command(arguments), check=True, cwd=self.folder, stdout=quiet)

    def _start(self) -> None:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder), "-F"]
        where += ["-N", str(self.connections)]
        command = self._command(["postgres", "-D", str(self.folder / "data"), *where])
        with (self.folder / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(self._answers, START_S, "PostgreSQL does not start")
        except BaseException:
            self._end(signal.SIGKILL)
            raise

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(START_S)
            self.process = None


class Replica(Postgres):
    """A streaming replica of a running cluster."""

    def __init__(self, folder: Path, primary: Postgres) -> None:
        super().__init__(folder, connections=primary.connections)
        self._primary_port = primary.port

    def _create(self, data: str) -> None:
        source = f"host=127.0.0.1 port={self._primary_port} user=postgres"
        self._run(["pg_basebackup", "-D", data, "-R", "-c", "fast", "-d", source])


class RabbitMQ:
    """A node of its own, on the loopback only."""

    PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def __init__(self, folder: Path) -> None:
        if not self.PROGRAM.exists():
            message = "RabbitMQ is not installed (apt-get install rabbitmq-server)"
            raise Skipped(message)
        self.folder = folder
        self.port, self.epmd_port = free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "plugins").write_text("[].")
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGKILL)  # nothing of it is kept
        epmd = shutil.which("epmd")
        if epmd is not None:  # a daemon that the node started
            command = [epmd, "-port", str(self.epmd_port), "-kill"]
            subprocess.run(command, env=self.environ, capture_output=True, check=False)

    def restart(self, away_s: float = 0.0) -> None:
        """End the whole node with SIGKILL, and start it after a while."""
        self._end(signal.SIGKILL)
        time.sleep(away_s)
        self._start()

    @property
    def environ(self) -> dict[str, str]:
        """Variables that keep it away from every other node of this machine."""
        return {
            **os.environ,
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"lorary{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd_port),
        }

    def _start(self) -> None:
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.PROGRAM)],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(self._answers, START_S, "RabbitMQ does not start")
        except BaseException:
            self._end(signal.SIGKILL)
            raise

    def _answers(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=3) as connection:
                connection.ensure_connection(max_retries=1)
        except (KombuError, OSError):
            return False
        return True

    def _end(self, number: int) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, number)
            self.process.wait(START_S)
            self.process = None
