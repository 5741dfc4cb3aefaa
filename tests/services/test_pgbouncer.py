"""A hub whose processes reach PostgreSQL through pgbouncer, which pools transactions."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from lorary.client import Hub
from tests.builders.adapters import DENOISERS, kohya
from tests.running import RunningHub, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.long]


@contextmanager
def pgbouncer(postgres: str) -> Iterator[str]:
    """Run it as docs/operations.md says, without passwords; yield the address of the database."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed (apt-get install pgbouncer)")
    port, host = free_port(), postgres.rpartition("@")[2].partition("/")[0]
    address, _, server_port = host.partition(":")
    folder = Path(tempfile.mkdtemp(prefix="lorary-pgbouncer-"))
    folder.chmod(0o755)
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\nlorary = host={address} port={server_port or 5432} dbname=bounced\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {folder}/users\npool_mode = transaction\n"
        "default_pool_size = 4\nmax_client_conn = 100\n"
    )
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [program, *user, str(folder / "pgbouncer.ini")]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            url, until = f"postgres://postgres@127.0.0.1:{port}/lorary", time.monotonic() + 10
            while True:
                try:
                    psycopg.connect(url).close()
                    break
                except psycopg.OperationalError:
                    assert time.monotonic() < until, (folder / "log").read_text()
                    time.sleep(0.1)
            yield f"{url}?pgbouncer=true"
        finally:
            process.terminate()
            shutil.rmtree(folder, ignore_errors=True)


def test_a_hub_works_behind_a_pool_of_transactions(postgres: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE DATABASE bounced")
    file = tmp_path / "noir.safetensors"
    file.write_bytes(kohya(DENOISERS["sd1", "diffusers"], rank=4))
    hub = RunningHub(tmp_path / "hub", "--queues", "checks")
    hub.environ["LORARY_DATABASE_URL"] = postgres.rpartition("/")[0] + "/bounced"
    hub.migrate()
    with pgbouncer(postgres) as url:
        hub.environ["LORARY_DATABASE_URL"] = url
        with hub:
            token = hub.manage("token", "--user", "ada", "--create").strip()
            with Hub(hub.url, token=token) as client:
                client.push(file, "ada/noir")
                assert [one.state for one in client.uploads()] == ["accepted"]
            hub.manage("sweep")
        assert "ERROR" not in hub.log.read_text(errors="replace")
