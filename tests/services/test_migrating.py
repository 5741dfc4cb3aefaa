"""Several machines that migrate one database at once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from hub.management.commands.migrate import _LOCK
from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.long]


def test_a_migration_through_pgbouncer_is_refused(postgres: str, tmp_path: Path) -> None:
    node = RunningHub(tmp_path / "node", DATABASE_URL=f"{postgres}?pgbouncer=true")
    command = [sys.executable, "manage.py", "migrate"]
    done = subprocess.run(
        command, cwd=ROOT, env=node.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the address of PostgreSQL itself" in done.stderr


def test_machines_that_migrate_at_once_wait_for_one(postgres: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE DATABASE migrating")
    database = postgres.rpartition("/")[0] + "/migrating"
    nodes = [RunningHub(tmp_path / f"node{n}", DATABASE_URL=database) for n in range(2)]
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "1"]
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        running = [
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=node.environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for node in nodes
        ]
        for one in running:
            assert one.stderr is not None
            assert "waiting for it" in one.stderr.readline()
        rows = other.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert rows.fetchone() == (0,)
    said = [one.communicate(timeout=120)[0] for one in running]
    assert [one.returncode for one in running] == [0, 0]
    applied = sorted(text.count("Applying registry.") for text in said)
    assert applied[0] == 0, "the one that waited had nothing left to do"
    assert applied[1] > 30


def test_a_role_that_does_not_own_its_database_is_told_so(postgres: str, tmp_path: Path) -> None:
    """`createdb` run as the user postgres makes such a database."""
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE ROLE guest LOGIN")
        server.execute("CREATE DATABASE foreign_one")
        (version,) = server.execute("SHOW server_version_num").fetchone() or ("0",)
    if int(version) < 150_000:
        pytest.skip("before PostgreSQL 15, everyone can create tables in the schema public")
    url = postgres.replace("postgres@", "guest@").rpartition("/")[0] + "/foreign_one"
    backups = tmp_path / "backups"
    hub = RunningHub(tmp_path / "hub", DATABASE_URL=url)
    owner = RunningHub(tmp_path / "owner", DATABASE_URL=f"{postgres.rpartition('/')[0]}/owned")
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE DATABASE owned")
    owner.migrate()
    owner.manage("backup", "--to", str(backups))
    for command in (["migrate"], ["restore", "--from", str(backups)], ["doctor"]):
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT, env=hub.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        told = done.stdout + done.stderr
        assert done.returncode == 1
        assert "permission denied for schema public" in told
        assert 'ALTER DATABASE "foreign_one" OWNER TO "guest"' in told
        assert "start with" not in told
        assert "CREATE TABLE" not in told
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute('ALTER DATABASE "foreign_one" OWNER TO "guest"')
    hub.migrate()
