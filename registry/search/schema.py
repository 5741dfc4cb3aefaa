"""The full-text index, which the database derives from the search documents.

SQLite: an FTS5 table on the table of documents; triggers update it. Changing a table in
SQLite drops its triggers, so they are removed before migrations run; afterwards they are created
again and the index is rebuilt (``pre_migrate`` and ``post_migrate``, see ``registry.apps``).

PostgreSQL: a generated column of type tsvector with a GIN index. Each word begins with the
letter of its column, so that a search of one column only reads the index.

Sources: https://www.sqlite.org/fts5.html; PostgreSQL's manual, chapter 12.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.db import transaction

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: Columns of words, the most significant one first.
COLUMNS = ("exact", "name", "triggers", "tags", "base", "kind", "owner", "summary", "card")
TABLE = "registry_searchdocument"
#: The FTS5 table of SQLite, and the prefix of names on PostgreSQL.
INDEX = "registry_search"

# The words are already normalised, so words are whatever stands between spaces: `ascii` treats all
# non-ASCII characters as letters.
_FTS = (
    f"CREATE VIRTUAL TABLE \"{INDEX}\" USING fts5({', '.join(COLUMNS)}, content='{TABLE}', "
    "content_rowid='adapter_id', tokenize='ascii', prefix='2 3', columnsize=0)"
)
_NAMES = ", ".join(COLUMNS)
# ruff: noqa: S608 - the statements are made of constants
_ADD = (
    f"INSERT INTO {INDEX}(rowid, {_NAMES}) VALUES (NEW.adapter_id, "
    f"{', '.join(f'NEW.{column}' for column in COLUMNS)});"
)
_TAKE = (
    f"INSERT INTO {INDEX}({INDEX}, rowid, {_NAMES}) VALUES ('delete', OLD.adapter_id, "
    f"{', '.join(f'OLD.{column}' for column in COLUMNS)});"
)
_REBUILD = f"INSERT INTO {INDEX}({INDEX}) VALUES ('rebuild')"
#: Fails if the index differs from the documents (rank 1 includes them in the check).
CHECK = f"INSERT INTO {INDEX}({INDEX}, rank) VALUES ('integrity-check', 1)"
_CHANGED = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in COLUMNS)
_TRIGGERS = {
    f"{INDEX}_added": f"AFTER INSERT ON {TABLE} BEGIN {_ADD} END",
    f"{INDEX}_changed": f"AFTER UPDATE ON {TABLE} WHEN {_CHANGED} BEGIN {_TAKE} {_ADD} END",
    f"{INDEX}_removed": f"AFTER DELETE ON {TABLE} BEGIN {_TAKE} END",
}

#: Column → the letter before its words in the tsvector. Searches in only the summary or the card
#: are not supported.
LETTERS = dict(zip(COLUMNS[:-2], "abcdefg", strict=True))
#: The letter before words of any column: one word to look up instead of one for each column, which
#: also lets PostgreSQL estimate how many rows it will find.
ANYWHERE = "z"
_TEXTS = {
    **{letter: column for column, letter in LETTERS.items()},
    ANYWHERE: " || ' ¦ ' || ".join(COLUMNS),
}
_VECTOR = " || ".join(
    f"to_tsvector('simple'::regconfig, regexp_replace({text}, '(\\S+)', '{letter}\\1', 'g'))"
    for letter, text in _TEXTS.items()
)
#: How many frequent words PostgreSQL counts, times ten. It assumes that all others are rare.
_STATISTICS = 500
#: Bytes from which PostgreSQL moves the largest columns of a row to another table, at most 8160. By
#: default it moves the words of most documents, and reading documents until enough of them match
#: takes twice as long.
_INLINE_BYTES = 8160
_GIN = f"{INDEX}_{hashlib.sha256(f'{_VECTOR} {_INLINE_BYTES}'.encode()).hexdigest()[:8]}"


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the index if it is missing, incomplete or outdated."""
    if TABLE not in connection.introspection.table_names():
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute(f'DROP TABLE IF EXISTS "{INDEX}"')
        return
    if is_installed(connection):
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        remove(connection)
        if connection.vendor == "sqlite":
            cursor.execute(_FTS)
            for name, body in _TRIGGERS.items():
                cursor.execute(f'CREATE TRIGGER "{name}" {body}')
            cursor.execute(_REBUILD)
            return
        cursor.execute(f"ALTER TABLE {TABLE} SET (toast_tuple_target = {_INLINE_BYTES})")
        cursor.execute(
            f"ALTER TABLE {TABLE} ADD COLUMN words tsvector GENERATED ALWAYS AS ({_VECTOR}) STORED"
        )
        cursor.execute(f"ALTER TABLE {TABLE} ALTER COLUMN words SET STATISTICS {_STATISTICS}")
        # Without a list of pending entries, which every search would have to read.
        cursor.execute(f"CREATE INDEX {_GIN} ON {TABLE} USING gin (words) WITH (fastupdate = off)")


def remove(connection: BaseDatabaseWrapper) -> None:
    """Remove the index; searches fail until ``install``."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            _drop_triggers(connection)
            cursor.execute(f'DROP TABLE IF EXISTS "{INDEX}"')
        else:
            cursor.execute(f"ALTER TABLE {TABLE} DROP COLUMN IF EXISTS words")


def remove_triggers(connection: BaseDatabaseWrapper) -> None:
    """Remove the triggers of SQLite, so that a migration can change the table."""
    if connection.vendor == "sqlite":
        _drop_triggers(connection)


def _drop_triggers(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        for name in _TRIGGERS:
            cursor.execute(f'DROP TRIGGER IF EXISTS "{name}"')


def is_installed(connection: BaseDatabaseWrapper) -> bool:
    """Whether the index exists as this release defines it."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'trigger')")
            there = dict(cursor.fetchall())
            bodies = {name: f'CREATE TRIGGER "{name}" {body}' for name, body in _TRIGGERS.items()}
            return all(there.get(name) == sql for name, sql in {**bodies, INDEX: _FTS}.items())
        cursor.execute("SELECT to_regclass(%s)", [_GIN])
        return cursor.fetchone()[0] is not None


def rebuild(connection: BaseDatabaseWrapper) -> None:
    """Rebuild the index from the documents."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(_REBUILD)
        else:
            cursor.execute(f"REINDEX INDEX {_GIN}")
