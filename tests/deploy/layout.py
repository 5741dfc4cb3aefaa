"""The services of ``deploy/compose.yaml`` as processes of this machine, without containers.

Commands, environment and dependencies are read from the file. Replaced are what a container gives:
names of hosts and ports (here 127.0.0.1 and free ports), the paths of secrets and volumes, and the
programs of the images (Debian's PostgreSQL, Redis and nginx, the SeaweedFS of the tests).
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import yaml

from tests.buckets import SeaweedFS
from tests.nginx import Nginx, in_front_of
from tests.running import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DEPLOY = ROOT / "deploy"
#: Ports on which the services listen in their containers.
PORTS = {"web1": 8000, "web2": 8000, "database": 5432, "redis": 6379, "s3": 8333}
STOP_S = 20.0
#: Variables of the tests that a container does not have.
FOREIGN = ("LORARY_", "DJANGO_", "AWS_")


def wait_until(condition: Callable[[], bool], within_s: float = 60) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: it does not become true in time.
    """
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "timed out"
        time.sleep(0.1)


def compose(**variables: str) -> dict[str, Any]:
    """Return compose.yaml with ``${NAME:-default}`` replaced by a variable or its default."""

    def value(found: re.Match[str]) -> str:
        return variables.get(found["name"]) or found["default"]

    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    text = re.sub(r"\$\{(?P<name>[A-Z0-9_]{1,40}):-(?P<default>[^}]{0,200})\}", value, text)
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def status_of(port: int, path: str) -> int:
    """Return the status of a GET request, 0 if nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with closing(connection), suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        with connection.getresponse() as response:
            return response.status
    return 0


class Layout:
    """The services, running while it is entered.

    Attributes:
        ports: Port of each service on 127.0.0.1, by the service's name.
        processes: The processes of the hub and of Redis, by the service's name.
        nodes: The file of nodes that nginx includes.
    """

    def __init__(self, folder: Path, postgres: str, nodes: str = "", **variables: str) -> None:
        """Prepare folders and secrets.

        Args:
            postgres: URL of a PostgreSQL server in place of the image's.
            nodes: Text to put before the lines of ``deploy/nodes/nodes.conf``.
            variables: What an operator writes into ``.env``.
        """
        self.folder = folder
        self.services = compose(**variables)["services"]
        self.ports = {name: free_port() for name in PORTS}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._postgres = postgres
        for name in ("data", "secrets", "logs", "nginx"):
            (folder / name).mkdir(parents=True)
        self.nodes = folder / "nodes.conf"
        self.nodes.write_text(nodes + (DEPLOY / "nodes" / "nodes.conf").read_text())
        make = ["sh", str(DEPLOY / "make-secrets.sh"), str(folder / "secrets")]
        subprocess.run(make, check=True)
        for file in (folder / "secrets").iterdir():
            file.chmod(0o600)
            file.write_text(self._placed(file.read_text()))
        self.database_url = (folder / "secrets" / "database_url").read_text()

    def __enter__(self) -> Layout:
        with ExitStack() as stack:
            stack.enter_context(self._database())
            stack.callback(self._stop_all)
            self.start("redis", "redis-server", "--bind", "127.0.0.1")
            stack.enter_context(_Store(self.folder / "s3", self))
            for name in ("bucket", "migrate"):
                self.run(name)
            for name in ("web1", "web2", "checks"):
                self.start(name)
            for name in ("web1", "web2"):
                wait_until(lambda name=name: self.is_ready(name))  # type: ignore[misc]  # bound now
            self.nginx = stack.enter_context(self._nginx())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def port(self) -> int:
        """Port of nginx."""
        return self.nginx.port

    def is_ready(self, name: str) -> bool:
        """Whether a web node is ready, by its own address."""
        return status_of(self.ports[name], "/healthz/ready") == 200

    def environ(self, name: str) -> dict[str, str]:
        """Return the environment of a service of the hub: the file's, and the image's volume."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        own = self.services[name]["environment"]
        said = {key: self._placed(str(value)) for key, value in own.items()}
        return kept | {"LORARY_DATA": str(self.folder / "data")} | said

    def command(self, name: str, *program: str) -> list[str]:
        """Return the command of a service, with the program of this machine."""
        said = [self._placed(str(part)) for part in self.services[name]["command"]]
        if name in PORTS:
            said = [str(self.ports[name]) if p == str(PORTS[name]) else p for p in said]
        said = ["127.0.0.1" if part == "0.0.0.0" else part for part in said]
        first, *arguments = said
        if first == "python":
            return [sys.executable, *arguments]
        assert program, f"{first} is a program of an image"
        return [program[0], *arguments, *program[1:]]

    def run(self, name: str) -> None:
        """Run a service that ends by itself."""
        done = subprocess.run(
            self.command(name), cwd=ROOT, env=self.environ(name), capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def manage(self, *arguments: str) -> str:
        """Run a management command as in ``docker compose exec web1``."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environ("web1"), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str, *program: str) -> None:
        """Start a service."""
        environ = self.environ(name) if "environment" in self.services[name] else None
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.command(name, *program),
                cwd=ROOT if environ else self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        """End a service and return its exit code: SIGTERM to its first process, as Docker does."""
        process = self.processes.pop(name)
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        return process.wait(STOP_S)

    def log(self, name: str) -> str:
        """Return what a service has written."""
        return (self.folder / "logs" / f"{name}.log").read_text()

    def _stop_all(self) -> None:
        for name in list(self.processes):
            self.stop(name)

    def _placed(self, text: str) -> str:
        """Return a text with the addresses and paths of this machine."""
        for name, port in PORTS.items():
            text = re.sub(rf"\b{name}:{port}\b", f"127.0.0.1:{self.ports[name]}", text)
        return text.replace("/run/secrets/", f"{self.folder / 'secrets'}/")

    @contextmanager
    def _database(self) -> Iterator[None]:
        """Make what PostgreSQL's image makes of POSTGRES_USER, POSTGRES_DB and the password."""
        said = self.services["database"]["environment"]
        user, name = said["POSTGRES_USER"], f"{said['POSTGRES_DB']}_{self.ports['database']}"
        password = Path(self._placed(said["POSTGRES_PASSWORD_FILE"])).read_text()
        with psycopg.connect(self._postgres, autocommit=True) as connection:
            statement = f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{password}'"
            connection.execute(statement.encode())
            connection.execute(f"CREATE DATABASE {name} OWNER {name}".encode())
        own = urlsplit(self.database_url)
        assert (own.username, own.password, own.path) == (user, password, f"/{said['POSTGRES_DB']}")
        server = urlsplit(self._postgres)
        self.database_url = f"postgres://{name}:{password}@127.0.0.1:{server.port}/{name}"
        (self.folder / "secrets" / "database_url").write_text(self.database_url)
        yield
        with psycopg.connect(self._postgres, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            connection.execute(f"DROP ROLE {name}".encode())

    @contextmanager
    def _nginx(self) -> Iterator[Nginx]:
        port = free_port()
        text = in_front_of(self.ports["web1"], self.folder / "data", port)
        only = f"server 127.0.0.1:{self.ports['web1']};"
        assert text.count(only) == 1
        self.nodes.write_text(self._placed(self.nodes.read_text()))
        text = text.replace(only, f"include {self.nodes};")
        with Nginx(self.folder / "nginx" / "run", port, text) as nginx:
            yield nginx


class _Store(SeaweedFS):
    """The S3 server with the arguments and the identities of compose.yaml."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        super().__init__(folder)
        self.layout = layout
        self.ports = [layout.ports["s3"], *(free_port() for _ in range(7))]

    def _command(self) -> list[str]:
        program = self.program()
        assert program is not None
        (self.folder / "data").mkdir(exist_ok=True)
        said = self.layout.command("s3", program)
        replaced = {"-dir": str(self.folder / "data"), "-ip": "127.0.0.1", "-ip.bind": "127.0.0.1",
                    "-s3.port": str(self.ports[0]), "-master.volumeSizeLimitMB": "64",
                    "-volume.max": "100"}  # fmt: skip
        arguments = [
            f"{name}={replaced.get(name, value)}" if value else name
            for name, _equals, value in (part.partition("=") for part in said[2:])
        ]
        names = ["s3.port.grpc", "master.port", "master.port.grpc", "volume.port",
                 "volume.port.grpc", "filer.port", "filer.port.grpc"]  # fmt: skip
        others = [f"-{name}={port}" for name, port in zip(names, self.ports[1:], strict=True)]
        return [*said[:2], *arguments, *others]

    def start(self) -> None:
        """Start it and wait until its S3 interface answers as compose.yaml asks."""
        with (self.folder.parent / "logs" / "s3.log").open("ab") as log:
            self.folder.mkdir(exist_ok=True)
            self.process = subprocess.Popen(
                self._command(), cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )
        check = self.layout.services["s3"]["healthcheck"]["test"][-1]
        wait_until(lambda: status_of(self.ports[0], urlsplit(check).path) == 200)


def programs_are_here() -> bool:
    """Whether Redis and SeaweedFS are installed."""
    return shutil.which("redis-server") is not None and SeaweedFS.program() is not None


def settings_of(service: Mapping[str, Any]) -> set[str]:
    """Return the names of the hub's settings that a service has, without ``_FILE``."""
    names = service.get("environment", {})
    return {n.removeprefix("LORARY_").removesuffix("_FILE") for n in names if n[:7] == "LORARY_"}
