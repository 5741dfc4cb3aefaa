"""The journal of imports, at ``<LORARY_HOME>/imports.sqlite3``: which file became which version."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lorary.library.databases import LocalDatabase

NAME = "imports.sqlite3"
_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    hub TEXT, namespace TEXT, sha256 TEXT,
    adapter TEXT NOT NULL,              -- its name in the namespace
    version TEXT,                       -- NULL: planned, not published yet
    has_previews INTEGER NOT NULL DEFAULT 0,  -- see Entry.pictures
    PRIMARY KEY (hub, namespace, sha256)
) WITHOUT ROWID
"""


class Entry(NamedTuple):
    """What a file became.

    Attributes:
        adapter: Name of its adapter.
        version: Its version; empty if it was planned and not published yet.
        pictures: How many pictures its gallery got; at least 1 if nobody looks for more.
    """

    adapter: str
    version: str
    pictures: int


class Journal(LocalDatabase):
    """The journal for one namespace of a hub, usable by several threads.

    Raises:
        SettingInvalid: it cannot be used.
    """

    def __init__(self, home: Path, hub: str, namespace: str) -> None:
        super().__init__(home, NAME, advice="Move it away and import again.", is_shared=True)
        self._target = (hub, namespace.casefold())
        self._lock = threading.Lock()
        with self._named_errors():
            self._db.execute(_TABLES)

    def entries(self) -> dict[str, Entry]:
        """Return sha256 → what it became, for all files of earlier imports."""
        query = (
            "SELECT sha256, adapter, version, has_previews FROM files"
            " WHERE hub = ? AND namespace = ?"
        )
        with self._lock:
            rows = self._db.execute(query, self._target).fetchall()
        return {sha256: Entry(name, version or "", count) for sha256, name, version, count in rows}

    def version_of(self, digests: Sequence[str]) -> Entry | None:
        """Return what the files of a version became; None if they are not published."""
        with self._lock:
            return self._version_of(digests)

    def _version_of(self, digests: Sequence[str]) -> Entry | None:
        query = (
            "SELECT adapter, version, has_previews FROM files"
            " WHERE hub = ? AND namespace = ? AND sha256 = ? AND version IS NOT NULL"
        )
        found = [self._db.execute(query, (*self._target, one)).fetchone() for one in digests]
        if not found or None in found:
            return None
        return Entry(*found[0])

    def plan(self, adapters: Iterable[tuple[Sequence[str], str]]) -> None:
        """Store the adapters that files will become, unless they are published, in one step.

        Args:
            adapters: Digests of the files of a version, and the name of its adapter.
        """
        with self._lock, self._db:  # a commit for each of thousands would take minutes
            self._db.execute("BEGIN IMMEDIATE")
            for digests, adapter in adapters:
                if self._version_of(digests) is None:
                    self._write(digests, adapter, None, 0)

    def write(
        self, digests: Sequence[str], adapter: str, version: str | None, *, pictures: int = 0
    ) -> None:
        """Store what the files of a version became."""
        with self._lock:
            self._write(digests, adapter, version, pictures)

    def _write(
        self, digests: Sequence[str], adapter: str, version: str | None, pictures: int
    ) -> None:
        query = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)"
        rows = [(*self._target, one, adapter, version, pictures) for one in digests]
        self._db.executemany(query, rows)
