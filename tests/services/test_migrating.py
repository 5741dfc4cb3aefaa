"""Several machines that migrate one database at once, and migrations beside a running hub."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from hub.management.commands.migrate import _LOCK
from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator
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


#: Runs migrate with few and short pauses.
IMPATIENT = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "hub.settings.base"
django.setup()
from django.core.management import call_command
from registry.database import table_locks
table_locks.PAUSES_S = (0.1, 0.1)
call_command("migrate", *sys.argv[1:])
"""


def remove_triggers(url: str) -> None:
    """Remove those of the tables that the tests lock: migrate would wait to do it itself."""
    with psycopg.connect(url, autocommit=True) as own:
        rows = own.execute(
            "SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE NOT tgisinternal AND relname IN ('registry_adapter', 'registry_user')"
        ).fetchall()
        for trigger, table in rows:
            own.execute(f'DROP TRIGGER "{trigger}" ON {table}'.encode())


@pytest.fixture
def before_audit(postgres: str, tmp_path: Path) -> Iterator[RunningHub]:
    """A database before ``registry.0043``, which drops foreign keys of the events."""
    name = f"locked_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
    url = postgres.rpartition("/")[0] + f"/{name}"
    hub = RunningHub(tmp_path / "hub", DATABASE_URL=url)
    hub.manage("migrate", "registry", "0042", "--verbosity", "0")
    remove_triggers(url)
    yield hub
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def migrating(hub: RunningHub, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=hub.environ, **pipes)


def wait_for_a_waiting_lock(watch: psycopg.Connection[Any]) -> None:
    until = time.monotonic() + 60
    while watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is None:
        assert time.monotonic() < until, "the migration waits for nothing"


def test_a_reader_that_meets_a_migration_gets_no_error(before_audit: RunningHub) -> None:
    url = before_audit.environ["LORARY_DATABASE_URL"]
    with psycopg.connect(url) as reader, psycopg.connect(url, autocommit=True) as watch:
        reader.execute("SELECT count(*) FROM registry_adapter")
        running = migrating(before_audit, "manage.py", "migrate", "registry", "0043")
        assert running.stderr is not None
        wait_for_a_waiting_lock(watch)
        # The migration has locked registry_user and waits for registry_adapter.
        began = time.monotonic()
        reader.execute("SELECT count(*) FROM registry_user")
        assert time.monotonic() - began < 1
        assert "try 2 of 21 in 0.5 s" in running.stderr.readline()
        for _ in range(2):
            wait_for_a_waiting_lock(watch)
            reader.execute("SELECT count(*) FROM registry_user")
            assert running.stderr.readline()
        reader.commit()
        said, complained = running.communicate(timeout=60)
        assert running.returncode == 0, complained
        assert said.count("Applying registry.0043_events_as_audit_log...\n") == 3
        assert said.count("Applying registry.0043_events_as_audit_log... OK") == 1


def test_a_migration_that_gets_no_lock_ends_and_leaves_all_as_it_was(
    before_audit: RunningHub,
) -> None:
    url = before_audit.environ["LORARY_DATABASE_URL"]
    count = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'lorary%'"
    with psycopg.connect(url, application_name="report") as reader:
        triggers = reader.execute(count.encode()).fetchone()
        reader.commit()
        reader.execute("SELECT count(*) FROM registry_adapter")
        running = migrating(before_audit, "-c", IMPATIENT, "registry", "0043")
        said, complained = running.communicate(timeout=60)
        assert running.returncode == 1, said
        assert "got no lock in 3 tries" in complained
        assert "(report from 127.0.0.1 idle in transaction, for" in complained
        assert "has locked registry_adapter" in complained
        assert "Run the command again" in complained
        assert "are missing" not in complained
        assert reader.execute(count.encode()).fetchone() == triggers
        applied = "SELECT 1 FROM django_migrations WHERE name LIKE '0043_events%'"
        assert reader.execute(applied.encode()).fetchone() is None
    before_audit.manage("migrate", "--verbosity", "0")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, None], ids=str)
def test_a_migration_that_is_ended_or_fails_puts_the_triggers_back(
    before_audit: RunningHub, end: signal.Signals | None
) -> None:
    url = before_audit.environ["LORARY_DATABASE_URL"]
    query = b"SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname LIKE 'lorary%'"
    with psycopg.connect(url, autocommit=True) as own, psycopg.connect(url) as reader:
        triggers = set(own.execute(query))
        assert len(triggers) > 10
        if end is None:
            own.execute("CREATE TABLE registry_eventaddress ()")  # which the migration creates
        else:
            reader.execute("SELECT count(*) FROM registry_adapter")
        process = migrating(before_audit, "manage.py", "migrate", "registry", "0043")
        assert process.stderr is not None
        if end is not None:
            assert "try 2 of 21" in process.stderr.readline()
            assert set(own.execute(query)) != triggers
            process.send_signal(end)
        _said, complained = process.communicate(timeout=60)
        expected = {signal.SIGTERM: 143, signal.SIGINT: -signal.SIGINT, None: 1}
        assert process.returncode == expected[end], complained
        assert "are missing" not in complained
        assert set(own.execute(query)) == triggers


def test_creating_triggers_does_not_wait_long_for_an_idle_writer(
    before_audit: RunningHub,
) -> None:
    """All other writers would wait behind it. The fixture has removed this table's triggers."""
    url = before_audit.environ["LORARY_DATABASE_URL"]
    count = b"SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'lorary%'"
    with psycopg.connect(url) as writer:
        (lacking,) = writer.execute(count).fetchone() or (0,)
        writer.execute("LOCK TABLE registry_adapter IN ROW EXCLUSIVE MODE")
        running = migrating(before_audit, "-c", IMPATIENT, "registry", "0042")
        _said, complained = running.communicate(timeout=60)
        assert running.returncode == 1
        assert "Creating triggers got no lock in 3 tries" in complained
        running = migrating(before_audit, "manage.py", "migrate", "registry", "0042")
        assert running.stderr is not None
        assert "Creating triggers: another process" in running.stderr.readline()
        writer.commit()
        _said, complained = running.communicate(timeout=60)
        assert running.returncode == 0, complained
        (complete,) = writer.execute(count).fetchone() or (0,)
    assert complete > lacking


#: Locks a table as migrations do, with short pauses.
LOCKING = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "hub.settings.base"
django.setup()
from django.db import connection, transaction
from registry.database import table_locks
table_locks.PAUSES_S = (0.1,) * int(sys.argv[2])
def lock():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {sys.argv[1]} IN ACCESS EXCLUSIVE MODE")
table_locks.retried(connection, lock, name="Test")
"""


@pytest.fixture
def of_a_role(postgres: str, tmp_path: Path) -> Iterator[tuple[RunningHub, str]]:
    """The database of a role without any right but its own tables, and its URL for a superuser."""
    name = f"role_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f"CREATE ROLE {name} LOGIN".encode())
        server.execute(f"CREATE DATABASE {name} OWNER {name}".encode())
    url = postgres.rpartition("/")[0] + f"/{name}"
    hub = RunningHub(tmp_path / "role", DATABASE_URL=url.replace("postgres@", f"{name}@"))
    with psycopg.connect(hub.environ["LORARY_DATABASE_URL"], autocommit=True) as own:
        own.execute("CREATE TABLE rows AS SELECT n, repeat('x', 500) AS x "
                    "FROM generate_series(1, 40000) AS n")  # fmt: skip
    yield hub, url
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        server.execute(f"DROP ROLE {name}".encode())


def test_a_long_autovacuum_does_not_keep_a_migration_from_its_locks(
    of_a_role: tuple[RunningHub, str],
) -> None:
    """PostgreSQL ends it after ``deadlock_timeout``, which most roles cannot set."""
    hub, url = of_a_role
    running = "SELECT 1 FROM pg_stat_progress_vacuum WHERE relid = 'rows'::regclass"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        server.execute("SELECT pg_reload_conf()")
        try:
            server.execute("ALTER TABLE rows SET (autovacuum_vacuum_cost_delay = 100, "
                           "autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_threshold = 1, "
                           "autovacuum_vacuum_scale_factor = 0)")  # fmt: skip
            server.execute("DELETE FROM rows WHERE n % 2 = 0")
            until = time.monotonic() + 90
            while server.execute(running).fetchone() is None:
                assert time.monotonic() < until, "there is no autovacuum"
                time.sleep(0.1)
            process = migrating(hub, "-c", LOCKING, "rows", "9")
            _said, complained = process.communicate(timeout=60)
        finally:
            server.execute("ALTER SYSTEM RESET autovacuum_naptime")
            server.execute("SELECT pg_reload_conf()")
    assert process.returncode == 0, complained
    assert "try 5 of 10" in complained
    assert "try 6 of 10" not in complained


def test_sessions_that_a_role_cannot_see_into_are_named(of_a_role: tuple[RunningHub, str]) -> None:
    hub, url = of_a_role
    with (
        psycopg.connect(url) as nameless,
        psycopg.connect(url, application_name="report") as reader,
    ):
        for session in (nameless, reader):
            session.execute("SELECT count(*) FROM rows")
        own = [psycopg.connect(hub.environ["LORARY_DATABASE_URL"]) for _ in range(3)]
        for session in own:
            session.execute("SELECT count(*) FROM rows")
        process = migrating(hub, "-c", LOCKING, "rows", "0")
        _said, complained = process.communicate(timeout=60)
        for session in own:
            session.close()
        pids = [session.info.backend_pid for session in (nameless, reader)]
    assert process.returncode == 1
    assert f"process {pids[0]} (postgres, since unknown) has locked rows" in complained
    assert f"process {pids[1]} (report, since unknown) has locked rows" in complained
    assert complained.count("has locked rows") == 3, "the oldest of those it can see is the third"


#: Prints the advice about a role that cannot create tables.
ADVISING = """
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "hub.settings.base"
django.setup()
from hub.operations import missing_database
print(missing_database.missing_rights())
"""


def test_a_schema_whose_name_must_be_quoted_is_asked_for_rights(
    of_a_role: tuple[RunningHub, str],
) -> None:
    hub, url = of_a_role
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as server:
        server.execute('CREATE SCHEMA "Hub-1"')
        server.execute(f'GRANT USAGE ON SCHEMA "Hub-1" TO {name}'.encode())
        server.execute(f'ALTER ROLE {name} SET search_path = "Hub-1"'.encode())
        told, complained = migrating(hub, "-c", ADVISING).communicate(timeout=60)
        assert "permission denied for schema Hub-1." in told, complained
        server.execute(f'GRANT CREATE ON SCHEMA "Hub-1" TO {name}'.encode())
        told, complained = migrating(hub, "-c", ADVISING).communicate(timeout=60)
        assert (told, complained) == ("\n", "")


def test_statements_that_django_collects_until_the_end_are_tried_again(
    before_audit: RunningHub,
) -> None:
    """``registry.0045`` makes a table with a foreign key, which waits for writers."""
    before_audit.manage("migrate", "registry", "0044", "--verbosity", "0")
    url = before_audit.environ["LORARY_DATABASE_URL"]
    remove_triggers(url)
    with psycopg.connect(url) as writer:
        writer.execute("LOCK TABLE registry_adapter IN ROW EXCLUSIVE MODE")
        running = migrating(before_audit, "manage.py", "migrate", "registry", "0045")
        assert running.stderr is not None
        assert "try 2 of 21" in running.stderr.readline()
        writer.commit()
        _said, complained = running.communicate(timeout=60)
        assert running.returncode == 0, complained


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
