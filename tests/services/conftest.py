"""Real servers, started for the tests on the loopback and ended with them."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.running import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


def _programs() -> Path | None:
    """Folder of the newest PostgreSQL programs, or None."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _as_postgres(folder: Path) -> list[str]:
    """Return the prefix that runs a command as a user PostgreSQL accepts: never root."""
    if os.geteuid() != 0:
        return []
    account = pwd.getpwnam("postgres")
    os.chown(folder, account.pw_uid, account.pw_gid)
    return ["runuser", "-u", "postgres", "--"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL that keeps nothing; ``LORARY_TEST_POSTGRES`` names another."""
    if named := os.environ.get("LORARY_TEST_POSTGRES"):
        yield named
        return
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    folder, port = Path(tempfile.mkdtemp(prefix="lorary-pg-")), free_port()
    prefix = _as_postgres(folder)
    data = str(folder / "data")
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-F"]
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        init = [*prefix, str(programs / "initdb"), "-D", data, "-A", "trust", "-U", "postgres"]
        subprocess.run(init, check=True, **quiet)  # type: ignore[call-overload]  # mixed values
        server = [*prefix, str(programs / "postgres"), "-D", data, *options]
        with subprocess.Popen(server, **quiet) as process:  # type: ignore[call-overload]  # same
            url = f"postgres://postgres@127.0.0.1:{port}/postgres"
            try:
                _wait_for(url)
                yield url
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=3).close()
        except psycopg.OperationalError:
            assert time.monotonic() < until, "PostgreSQL does not start"
            time.sleep(0.1)
        else:
            return
