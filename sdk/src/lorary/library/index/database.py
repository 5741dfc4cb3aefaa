"""The database of the index, at ``<LORARY_HOME>/library.sqlite3``.

It can be deleted at any time: the next scan writes it again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorary.library.databases import LocalDatabase
from lorary.library.index.contents import Content
from lorary.library.index.walking import Fault, Seen

NAME = "library.sqlite3"
_SCHEMA = 2
_TABLES = """
CREATE TABLE files (
    path BLOB PRIMARY KEY,      -- as the system has it; it may not be UTF-8
    key TEXT NOT NULL,          -- device, inode, size and time of change
    size INTEGER NOT NULL,
    run INTEGER NOT NULL,       -- the last scan that saw it
    touched INTEGER NOT NULL,   -- the last scan that found it new or changed
    companions TEXT NOT NULL,   -- JSON: names of its sidecars, previews and others
    mark TEXT NOT NULL,         -- size and time of change of its sidecars
    words TEXT,                 -- JSON: trigger words in its sidecars
    series TEXT,                -- folder and common name of a training run; NULL: not related yet
    half TEXT,                  -- high-noise, low-noise, or empty
    number INTEGER,             -- epoch or step by its name
    fault_code TEXT,            -- why it could not be read
    fault TEXT
) WITHOUT ROWID;
CREATE INDEX files_key ON files (key);
CREATE INDEX files_series ON files (series);
CREATE TABLE contents (
    key TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL, data_sha256 TEXT NOT NULL, autov1 TEXT NOT NULL,
    kind TEXT, family TEXT, candidates TEXT, base TEXT, lineage TEXT, algorithm TEXT,
    rank INTEGER, alpha REAL, expert TEXT, trainer TEXT, session TEXT, epochs INTEGER,
    steps INTEGER, title TEXT, description TEXT, author TEXT, license TEXT, strength REAL,
    words TEXT, has_words INTEGER NOT NULL, refusal_code TEXT, refusal TEXT
) WITHOUT ROWID;
CREATE INDEX contents_sha256 ON contents (sha256);
CREATE INDEX contents_data ON contents (data_sha256);
CREATE INDEX contents_session ON contents (session);
CREATE TABLE answers (
    hub TEXT, sha256 TEXT, asked_at REAL NOT NULL, has_words INTEGER NOT NULL,
    matches TEXT NOT NULL,      -- JSON
    PRIMARY KEY (hub, sha256)
) WITHOUT ROWID;
CREATE TABLE runs (number INTEGER PRIMARY KEY);
"""


@dataclass(slots=True)
class Counts:
    """How many files a scan found."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0

    @property
    def files(self) -> int:
        """All files that are there."""
        return self.new + self.changed + self.unchanged


class Index(LocalDatabase):
    """An open index, for one thread.

    Args:
        home: The client's folder.

    Raises:
        SettingInvalid: it cannot be opened.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home, NAME, advice="Delete it and scan again.")
        with self._named_errors():
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._prepare()

    def _prepare(self) -> None:
        """Create the tables; those of another version of this program are replaced."""
        if self._db.execute("PRAGMA user_version").fetchone()[0] == _SCHEMA:
            return
        self._db.execute("BEGIN IMMEDIATE")
        if self._db.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA:
            tables = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (name,) in tables.fetchall():
                self._db.execute(f'DROP TABLE "{name}"')
            for statement in _TABLES.split(";\n"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_SCHEMA}")
        self._db.execute("COMMIT")

    def rows(self, query: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query."""
        with (
            self._named_errors(),
            closing(self._db.execute(query, [*map(_storable, values)])) as cursor,
        ):
            yield from cursor

    def _write(self, query: str, rows: Iterable[Sequence[object]]) -> int:
        """Run a statement for each row, and commit: another scan waits for a moment only."""
        with self._named_errors(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            return self._db.executemany(query, ([*map(_storable, row)] for row in rows)).rowcount

    def begin(self) -> int:
        """Return the number of a new scan."""
        run = int(next(self.rows("SELECT COALESCE(MAX(number), 0) + 1 FROM runs"))[0])
        self._write("INSERT INTO runs VALUES (?)", [(run,)])
        return run

    def add_files(self, seen: Sequence[Seen | Fault], run: int, counts: Counts) -> list[Seen]:
        """Store files that were seen, and return those whose sidecars have to be read."""
        paths = [one.path for one in seen]
        marks = ",".join("?" * len(paths))
        query = f"SELECT path, key, mark, words FROM files WHERE path IN ({marks})"  # noqa: S608 - marks only
        known = {path: facts for path, *facts in self.rows(query, paths)}
        rows: list[tuple[object, ...]] = []
        described = []
        for one in seen:
            key, mark, words = known.get(one.path, (None, None, None))
            is_same = key == one.key
            touched = 0 if is_same else run
            counts.new += key is None
            counts.unchanged += is_same
            counts.changed += key is not None and not is_same
            if isinstance(one, Fault):
                rows.append((one.path, one.key, 0, run, touched, "", "", "[]", one.code,
                             one.message))  # fmt: skip
                continue
            if one.mark and (mark != one.mark or words is None):
                described.append(one)
            rows.append((one.path, one.key, one.size_bytes, run, touched, one.companions, one.mark,
                         None if one.mark else "[]", None, None))  # fmt: skip
        self._write(
            "INSERT INTO files (path, key, size, run, touched, companions, mark, words, fault_code,"
            " fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
            " series = CASE WHEN key = excluded.key THEN series END, key = excluded.key,"
            " size = excluded.size, run = MAX(run, excluded.run),"
            " touched = MAX(touched, excluded.touched),"
            " companions = excluded.companions,"
            " words = CASE WHEN mark = excluded.mark THEN words ELSE excluded.words END,"
            " mark = excluded.mark,"
            " fault_code = excluded.fault_code, fault = excluded.fault",
            rows,
        )
        return described

    def add_words(self, rows: Iterable[tuple[Sequence[str], bytes]]) -> None:
        """Store the trigger words in the sidecars of files, by their paths."""
        values = ((json.dumps(words), path) for words, path in rows)
        self._write("UPDATE files SET words = ? WHERE path = ?", values)

    def keep(self, folder: bytes, run: int) -> None:
        """Keep the files of a folder that could not be read."""
        query = f"UPDATE files SET run = MAX(run, ?) WHERE {BELOW}"  # noqa: S608 - a constant
        self._write(query, [(run, *below(folder))])

    def drop_gone(self, root: bytes, run: int) -> int:
        """Remove the files of a folder that this scan did not see; return how many."""
        query = f"DELETE FROM files WHERE run < ? AND {BELOW}"  # noqa: S608 - a constant
        return self._write(query, [(run, *below(root))])

    def forget(self, paths: Iterable[bytes]) -> None:
        """Remove files that are known to be gone; their contents stay until the next scan."""
        self._write("DELETE FROM files WHERE path = ?", ((path,) for path in paths))

    def tidy(self) -> None:
        """Remove contents of no file."""
        self._write("DELETE FROM contents WHERE key NOT IN (SELECT key FROM files)", [()])

    def pending(self, run: int) -> tuple[int, int]:
        """Return how many files have to be read, and their bytes."""
        query = (
            "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM (SELECT MAX(f.size) size FROM files f"
            " LEFT JOIN contents c ON c.key = f.key"
            " WHERE f.run = ? AND c.key IS NULL AND f.fault_code IS NULL GROUP BY f.key)"
        )
        count, size = next(self.rows(query, (run,)))
        return count, size

    def next_pending(self, run: int, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        """Return paths and keys of files to read, in the order of their paths."""
        query = (
            "SELECT f.path, f.key FROM files f LEFT JOIN contents c ON c.key = f.key"
            " WHERE f.run = ? AND c.key IS NULL AND f.fault_code IS NULL AND f.path > ?"
            " ORDER BY f.path LIMIT ?"
        )
        return list(self.rows(query, (run, after, limit)))

    def add_content(self, content: Content) -> None:
        """Store what is in a file."""
        row = content.row()
        marks = ", ".join("?" * len(row))
        columns = ", ".join(row)
        query = f"INSERT OR REPLACE INTO contents ({columns}) VALUES ({marks})"  # noqa: S608 - names of fields
        self._write(query, [tuple(row.values())])

    def add_fault(self, key: str, code: str, message: str) -> None:
        """Store why a file could not be read."""
        query = "UPDATE files SET fault_code = ?, fault = ? WHERE key = ?"
        self._write(query, [(code, message, key)])

    def next_unrelated(self, run: int, limit: int) -> list[tuple[bytes, Mapping[str, Any]]]:
        """Return paths and documents of files whose series is not known."""
        query = (
            "SELECT f.path, c.family, c.candidates, c.expert FROM files f"
            " JOIN contents c ON c.key = f.key WHERE f.series IS NULL AND f.run = ? LIMIT ?"
        )
        return [
            (path, {
                "base": {"family": family, "candidates": json.loads(candidates or "[]")},
                "training": {"expert": expert},
            })
            for path, family, candidates, expert in self.rows(query, (run, limit))
        ]  # fmt: skip

    def add_series(self, rows: Iterable[tuple[str, str, int | None, bytes]]) -> None:
        """Store series, half and number of files."""
        self._write("UPDATE files SET series = ?, half = ?, number = ? WHERE path = ?", rows)

    def next_unasked(
        self, run: int, hub: str, before: float, after: str, limit: int
    ) -> list[tuple[str, str]]:
        """Return hashes of files and of their data that a hub was not asked for since a time."""
        query = (
            "SELECT c.sha256, c.data_sha256 FROM contents c INDEXED BY contents_sha256"
            " LEFT JOIN answers a ON a.hub = ? AND a.sha256 = c.sha256"
            " WHERE c.sha256 > ? AND (a.asked_at IS NULL OR a.asked_at < ?)"
            " AND EXISTS (SELECT 1 FROM files f WHERE f.key = c.key AND f.run = ?)"
            " GROUP BY c.sha256 ORDER BY c.sha256 LIMIT ?"
        )
        return list(self.rows(query, (hub, after, before, run, limit)))

    def add_answers(self, hub: str, rows: Iterable[tuple[str, bool, Sequence[object]]]) -> None:
        """Store what a hub has of files."""
        now = time.time()
        values = ((hub, sha, now, has, json.dumps(matches)) for sha, has, matches in rows)
        self._write("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", values)


def _storable(value: object) -> object:
    """Return a value for SQLite, which has no place for text that is not UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


BELOW = "(path = ? OR (path > ? AND path < ?))"


def below(root: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the values of ``BELOW``: a path, and the bounds of the paths below it."""
    separator = os.fsencode(os.sep)
    base = root.rstrip(separator) + separator
    return root, base, base[:-1] + bytes([base[-1] + 1])
