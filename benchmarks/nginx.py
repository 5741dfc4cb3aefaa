"""nginx with a configuration of its own, as the reference for sending files."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Self

from benchmarks.processes import tree
from benchmarks.results import Absent
from tests.running import free_port

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["Nginx"]

READY_S = 10.0

CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ root {root}; }}
    }}
}}
"""


class Nginx:
    """Serves a folder by sendfile on the loopback."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            msg = "nginx, which it is compared with, is not installed"
            raise Absent(msg)
        self.folder.mkdir(parents=True)
        config = self.folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=self.folder, port=self.port, root=self.root))
        # The worker of an nginx that root starts is another user, who must be able to read.
        command = [program, "-p", str(self.folder), "-c", str(config), "-g", "user root;"]
        command = command if _is_root() else command[:-2]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self._wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(READY_S)

    @property
    def pids(self) -> list[int]:
        """Master and worker."""
        assert self.process is not None
        return tree(self.process.pid)

    def _wait(self) -> None:
        until = time.monotonic() + READY_S
        while True:
            try:
                http.client.HTTPConnection("127.0.0.1", self.port, timeout=2).request("HEAD", "/")
            except OSError:
                assert time.monotonic() < until, (self.folder / "error.log").read_text()
                time.sleep(0.05)
            else:
                return


def _is_root() -> bool:

    return os.geteuid() == 0
