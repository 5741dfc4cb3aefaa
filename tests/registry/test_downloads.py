"""Counts of downloads: added up in memory, written together."""

from __future__ import annotations

import os
import queue
import threading
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from registry.adapters import services as adapters
from registry.models import DailyDownloads, Version
from registry.versions import download_counts
from tests.builders.adapters import DENOISERS, kohya
from tests.catalogue import release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.models import User

LORA = kohya(DENOISERS["sd1", "diffusers"])


@pytest.fixture
def version(ada: User) -> Version:
    return release(adapters.create(actor=ada, name="noir"), LORA)


def add(version: Version, times: int = 1) -> None:
    file = version.primary_file
    assert file is not None
    for _ in range(times):
        download_counts.count(version_id=version.pk, is_primary=file.is_primary)


def counts(version: Version) -> tuple[int, int, list[int]]:
    """Return what version, adapter and days say."""
    version.refresh_from_db()
    version.adapter.refresh_from_db()
    days = list(version.daily_downloads.order_by("day").values_list("count", flat=True))
    return version.downloads, version.adapter.downloads, days


def test_downloads_are_counted_by_day(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    add(version, 2)
    assert counts(version) == (0, 0, [])
    assert download_counts.write()
    assert counts(version) == (2, 2, [2])
    add(version)
    assert download_counts.write()
    assert counts(version) == (3, 3, [3])
    download_counts._process.tally.add({(version.pk, date(2026, 1, 2)): 5})
    assert download_counts.write()
    assert counts(version) == (8, 8, [5, 3])


def test_a_row_that_is_there_uses_up_no_id(version: Version, ada: User) -> None:
    add(version)
    assert download_counts.write()
    second = release(adapters.create(actor=ada, name="blanc"), LORA)
    for one in (version, version, second):
        add(one)
    with CaptureQueriesContext(connection) as queries:
        assert download_counts.write()
    inserts = [query["sql"] for query in queries if query["sql"].startswith("INSERT")]
    assert len(inserts) == 1
    assert inserts[0].count("(") == 2 + inserts[0].count("RETURNING (")  # columns and one row
    assert (counts(version), counts(second)) == ((3, 3, [3]), (1, 1, [1]))
    add(version)
    with CaptureQueriesContext(connection) as queries:
        assert download_counts.write()
    assert not any(query["sql"].startswith("INSERT") for query in queries)


def test_only_the_primary_file_counts(version: Version) -> None:
    download_counts.count(version_id=version.pk, is_primary=False)
    with CaptureQueriesContext(connection) as queries:
        assert download_counts.write()
    assert len(queries) == 0


def test_many_versions_cost_few_statements(ada: User, version: Version) -> None:
    others = [adapters.create(actor=ada, name=f"style-{n}") for n in range(4)]
    made = [version, *(release(adapter, LORA) for adapter in others)]
    for one in made:
        add(one, 3)
    with CaptureQueriesContext(connection) as queries:
        assert download_counts.write()
    assert len(queries) <= 8, [query["sql"][:80] for query in queries]
    assert [counts(one) for one in made] == [(3, 3, [3])] * 5


def test_versions_of_one_adapter_add_up(ada: User, version: Version) -> None:
    second = release(version.adapter, kohya(DENOISERS["sd1", "diffusers"], rank=2))
    add(version, 2)
    add(second, 3)
    assert download_counts.write()
    assert counts(version) == (2, 5, [2])
    assert counts(second) == (3, 5, [3])


def test_a_version_that_is_gone_counts_no_more(version: Version) -> None:
    download_counts._process.tally.add({(version.pk + 1000, date(2026, 1, 2)): 5})
    add(version)
    assert download_counts.write()
    assert counts(version) == (1, 1, [1])
    assert DailyDownloads.objects.count() == 1


def test_a_database_that_refuses_loses_nothing(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(version, 2)
    with monkeypatch.context() as broken:
        broken.setattr(download_counts, "_add_to_days", refuse)
        assert not download_counts.write()
    assert counts(version) == (0, 0, [])
    add(version)
    assert download_counts.write()
    assert counts(version) == (3, 3, [3])


def refuse(_counts: object) -> None:
    raise OperationalError("database is locked")  # noqa: EM101 - as SQLite says it


def test_more_than_one_transaction_holds_are_written_all(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_counts, "AT_ONCE", 3)
    for day in range(1, 11):
        download_counts._process.tally.add({(version.pk, date(2026, 1, day)): day})
    assert download_counts.write()
    assert counts(version) == (55, 55, list(range(1, 11)))


def test_threads_lose_no_count() -> None:
    tally, day = download_counts._Tally(), date(2026, 1, 2)
    taken: list[int] = []

    def add_many() -> None:
        for n in range(700):
            tally.add({(n % 7, day): 1})

    threads = [threading.Thread(target=add_many) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken += tally.take(3).values()
    taken += tally.take(100).values()
    assert sum(taken) == 8 * 700


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_server_writes_by_itself_and_again_after_a_refusal(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_counts, "WRITE_S", 0.01)
    written: queue.SimpleQueue[bool] = queue.SimpleQueue()
    real_write, real_add, refusals = (
        download_counts.write,
        download_counts._add_to_days,
        [True, True],
    )

    def write() -> bool:
        written.put(is_done := real_write())
        return is_done

    def add_to_days(counts: Mapping[Any, int]) -> None:
        if refusals:
            refusals.pop()
            refuse(counts)
        real_add(counts)

    monkeypatch.setattr(download_counts, "write", write)
    monkeypatch.setattr(download_counts, "_add_to_days", add_to_days)
    download_counts.write_regularly()
    add(version, 2)
    assert [written.get(timeout=10) for _ in range(3)] == [False, False, True]
    assert counts(version) == (2, 2, [2])
    add(version)
    assert written.get(timeout=10)
    assert counts(version) == (3, 3, [3])


def test_a_thread_from_before_a_fork_is_started_again() -> None:
    process = download_counts._Process()
    process.wake()
    first = process._writer
    assert first is not None
    read, write = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover - another process
        process.wake()
        second = process._writer
        os.write(write, b"1" if second is not first and second and second.is_alive() else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"1"
    os.close(read)
    os.close(write)
