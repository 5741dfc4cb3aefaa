"""Consistent copies of the database of a running hub, and their restore.

SQLite is copied by its online backup, PostgreSQL by ``pg_dump`` from a snapshot, in which the list
of blobs is read as well, so that the list matches the copy.

Source: https://www.sqlite.org/backup.html; PostgreSQL manual, ``pg_dump --snapshot``.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from django.db import connection, transaction

from hub.operations.missing_database import missing_rights
from registry.blobs.migrate_store import Named
from registry.local_files import flush, make_file
from registry.models import Blob

#: Number of rows read at a time.
BATCH = 2000
_STORED = "SELECT sha256, size_bytes FROM registry_blob WHERE is_stored ORDER BY id"
#: Connection options of psycopg → environment variables of PostgreSQL's programs.
_LIBPQ = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "options": "PGOPTIONS"}
#: A line with the error itself, or with what PostgreSQL adds to it.
_ERROR = re.compile(r"\b(error|fatal|detail|hint): ", re.IGNORECASE)


class RowsRefused(Exception):
    """The database cannot be copied or restored, as the message says."""


def is_sqlite() -> bool:
    """Whether the database is SQLite."""
    return connection.vendor == "sqlite"


def file_name() -> str:
    """Return the file name for a copy of this kind of database."""
    return "rows.sqlite3" if is_sqlite() else "rows.dump"


class Listed(NamedTuple):
    """Number and bytes of the stored blobs in a copy."""

    blobs: int
    bytes: int


def dump(target: Path, listing: TextIO) -> Listed:
    """Write a copy of the database, and a line with sha256 and size for each stored blob in it.

    Raises:
        RowsRefused: the copy is corrupt, or ``pg_dump`` failed.
    """
    if connection.in_atomic_block:  # SQLite would wait for this transaction forever
        message = "The database cannot be copied inside a transaction."
        raise RowsRefused(message)
    make_file(target)  # readable by the owner only
    return (_dump_sqlite if is_sqlite() else _dump_postgres)(target, listing)


def require_empty() -> None:
    """Raise RowsRefused unless the database has no tables and the hub can create some."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
    if tables:
        where = connection.settings_dict["NAME"]
        message = f"The database has tables already ({where}). Restore into an empty one."
        raise RowsRefused(message)
    if refused := missing_rights():
        raise RowsRefused(refused)


def restore(source: Path) -> None:
    """Restore a copy into an empty database.

    Raises:
        RowsRefused: the database is not empty, or the copy cannot be restored.
    """
    require_empty()
    connection.close()
    if is_sqlite():
        _restore_sqlite(source)
    else:
        options = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
        _run(
            ["pg_restore", *options, "--dbname", connection.settings_dict["NAME"], str(source)],
            source,
        )


def _dump_sqlite(target: Path, listing: TextIO) -> Listed:
    connection.ensure_connection()
    try:
        listed = _copied_sqlite(target, listing)
    except sqlite3.Error as error:
        message = f"The database cannot be copied to {target}: {error}."
        raise RowsRefused(message) from error
    flush(target)
    return listed


def _copied_sqlite(target: Path, listing: TextIO) -> Listed:
    with closing(sqlite3.connect(target)) as copy:
        connection.connection.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a write-ahead log
        copy.execute("PRAGMA ignore_check_constraints=ON")  # they use functions of Django's
        (result,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            message = f"The copy of the database is corrupt: {result}"
            raise RowsRefused(message)
        return _write_list(copy.execute(_STORED), listing)


def _write_list(blobs: Iterable[Named], listing: TextIO) -> Listed:
    count = total = 0
    for sha256, size in blobs:
        listing.write(f"{sha256} {size}\n")
        count, total = count + 1, total + size
    return Listed(count, total)


def _restore_sqlite(source: Path) -> None:
    target = Path(connection.settings_dict["NAME"])
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    make_file(draft)
    try:
        shutil.copyfile(source, draft)
        flush(draft)
    except OSError as error:  # names only the source, also if the target has no room
        draft.unlink()
        message = f"{source} cannot be copied to {target}: {error.strerror or error}."
        raise RowsRefused(message) from error
    for end in ("-wal", "-shm"):  # files of the empty database that is replaced
        target.with_name(target.name + end).unlink(missing_ok=True)
    draft.replace(target)


def _dump_postgres(target: Path, listing: TextIO) -> Listed:
    with _snapshot() as name:
        _run(["pg_dump", "--format", "custom", "--no-owner", "--no-privileges", "--snapshot", name,
              "--file", str(target)], target)  # fmt: skip
        blobs = Blob.objects.filter(is_stored=True).order_by("pk")
        # A cursor of the server, in the transaction of the snapshot.
        rows = blobs.values_list("sha256", "size_bytes").iterator(chunk_size=BATCH)
        listed = _write_list(rows, listing)
    flush(target)
    return listed


@contextmanager
def _snapshot() -> Iterator[str]:
    """Hold a snapshot that other connections can use."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        yield cursor.fetchone()[0]


def _run(command: Sequence[str], file: Path) -> None:
    """Run a program of PostgreSQL; not all of its errors name the file of the copy."""
    environ = {**os.environ, **_postgres()}  # the password must not appear in the process list
    try:
        done = subprocess.run(
            list(command), env=environ, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        message = f"{command[0]} is not installed (Debian: postgresql-client)."
        raise RowsRefused(message) from error
    if done.returncode:
        message = f"{command[0]} ({file}): {reason_of(done.stderr)}"
        raise RowsRefused(message)


def reason_of(output: str) -> str:
    """Return the error of PostgreSQL's programs, without the statements that they also print."""
    lines = [line.strip() for line in output.strip().splitlines()]
    errors = [line for line in lines if _ERROR.search(line)]
    return "\n".join(errors or lines)[:1000]


def _postgres() -> dict[str, str]:
    """Return the environment variables that connect PostgreSQL's programs to the database."""
    entry = connection.settings_dict
    variables = {
        "PGDATABASE": entry["NAME"],
        "PGUSER": entry["USER"],
        "PGPASSWORD": entry["PASSWORD"],
        "PGHOST": entry["HOST"],
        "PGPORT": str(entry["PORT"]),
        **{_LIBPQ[key]: str(value) for key, value in entry["OPTIONS"].items() if key in _LIBPQ},
    }
    return {name: value for name, value in variables.items() if value}
