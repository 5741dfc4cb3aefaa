"""SQLite databases in the client's folder: the index of adapters and the journal of imports."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lorary.client.errors import SettingInvalid

if TYPE_CHECKING:
    from typing_extensions import Self


class LocalDatabase:
    """An open database; a context manager.

    Args:
        home: The client's folder.
        name: File name of the database.
        advice: What to do if it cannot be used.
        is_shared: Several threads use it, one at a time.

    Raises:
        SettingInvalid: it cannot be opened.
    """

    def __init__(self, home: Path, name: str, *, advice: str, is_shared: bool = False) -> None:
        self.path = home / name
        self._advice = advice
        with self._named_errors():
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(
                self.path, timeout=60, isolation_level=None, check_same_thread=not is_shared
            )
            self._db.execute("PRAGMA journal_mode=WAL")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._db.close()

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            message = f"{self.path} cannot be used: {error}. {self._advice}"
            raise SettingInvalid(message) from error
