"""What an answer says is on the disk before it leaves."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse

from hub.http.middleware import FlushMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import RequestFactory

pytestmark = [
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL flushes by itself"),
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks into /proc"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the connection's database is; nobody opens it through Django."""
    monkeypatch.setitem(connection.settings_dict, "NAME", tmp_path / "rows.sqlite3")
    return tmp_path / "rows.sqlite3"


@pytest.fixture
def written(place: Path) -> Iterator[sqlite3.Connection]:
    """A database whose last commit is in its log alone."""
    with closing(sqlite3.connect(place, isolation_level=None)) as rows:
        rows.execute("PRAGMA journal_mode=WAL")
        rows.execute("PRAGMA synchronous=NORMAL")
        rows.execute("CREATE TABLE said (word)")
        yield rows


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect names of what is flushed."""
    seen: list[str] = []
    flush = os.fsync

    def note(handle: int) -> None:
        flush(handle)
        seen.append(Path(f"/proc/self/fd/{handle}").readlink().name)

    monkeypatch.setattr(os, "fsync", note)
    return seen


@pytest.fixture
def hub(written: sqlite3.Connection) -> FlushMiddleware:
    def view(request: HttpRequest) -> HttpResponse:
        if request.method != "GET":
            written.execute("INSERT INTO said VALUES ('yes')")
        return HttpResponse()

    return FlushMiddleware(view)


def test_every_write_is_flushed_before_it_is_answered(
    hub: FlushMiddleware, flushed: list[str], rf: RequestFactory, place: Path
) -> None:
    hub(rf.put("/"))
    assert flushed == ["rows.sqlite3-wal", place.parent.name]
    for ask in (rf.post, rf.delete, rf.patch):
        flushed.clear()
        hub(ask("/"))
        assert flushed == ["rows.sqlite3-wal"]


def test_a_log_made_anew_is_flushed_with_its_name(
    hub: FlushMiddleware, flushed: list[str], rf: RequestFactory, place: Path
) -> None:
    hub(rf.post("/"))
    log = place.with_name("rows.sqlite3-wal")
    log.rename(place.with_name("before"))
    log.write_bytes(b"")
    flushed.clear()
    hub(rf.post("/"))
    assert flushed == ["rows.sqlite3-wal", place.parent.name]


def test_reading_flushes_nothing(
    hub: FlushMiddleware, flushed: list[str], rf: RequestFactory
) -> None:
    hub(rf.get("/"))
    assert flushed == []


@pytest.mark.usefixtures("place")
def test_a_database_without_a_log_has_nothing_to_flush(
    flushed: list[str], rf: RequestFactory
) -> None:
    assert FlushMiddleware(lambda _request: HttpResponse())(rf.post("/")).status_code == 200
    assert flushed == []
