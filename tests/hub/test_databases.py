"""Addresses of rows, messages and cache."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection

from hub import celery
from hub.databases import broker, cache, database
from hub.embedded_broker import MOST_WAITING


def test_sqlite_takes_its_lock_at_the_start_and_waits() -> None:
    entry = database(dataclasses.replace(settings.LORARY, database_url=""))
    assert entry["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert entry["OPTIONS"]["timeout"] == 20
    assert "journal_mode=WAL" in entry["OPTIONS"]["init_command"]
    assert entry["ATOMIC_REQUESTS"] is False


def test_sqlite_maps_its_file_into_memory(tmp_path: Path) -> None:
    entry = database(dataclasses.replace(settings.LORARY, database_url=""))
    with closing(sqlite3.connect(tmp_path / "rows.sqlite3")) as rows:
        rows.executescript(entry["OPTIONS"]["init_command"])
        assert rows.execute("PRAGMA mmap_size").fetchone()[0] > 2**30


def test_postgres_is_reached_by_url() -> None:
    url = "postgres://me:secret@db.example:5433/hub"
    entry = database(dataclasses.replace(settings.LORARY, database_url=url))
    assert entry["ENGINE"].endswith("postgresql")
    assert (entry["HOST"], entry["PORT"], entry["NAME"]) == ("db.example", 5433, "hub")
    assert "transaction_mode" not in entry.get("OPTIONS", {})
    assert (entry["OPTIONS"]["pool"]["max_size"], entry["CONN_MAX_AGE"]) == (6, 0)
    config = dataclasses.replace(settings.LORARY, database_url=url, database_pool=0)
    alone = database(config)
    assert ("pool" in alone.get("OPTIONS", {}), alone["CONN_MAX_AGE"]) == (False, 60)
    assert not alone["DISABLE_SERVER_SIDE_CURSORS"]
    pooled = dataclasses.replace(settings.LORARY, database_url=f"{url}?pgbouncer=true")
    assert database(pooled)["DISABLE_SERVER_SIDE_CURSORS"]
    assert "pgbouncer" not in database(pooled)["OPTIONS"]


@pytest.mark.parametrize(
    "url",
    ["sqlite://x", "sqlite://", "sqlite:///", "mysql://me:secret@x/y", "postgres://a:secret@b:c/d"],
)
def test_a_database_that_is_not_supported_is_refused(url: str) -> None:
    with pytest.raises(
        ImproperlyConfigured, match=r"LORARY_DATABASE_URL: .* sqlite:///path"
    ) as told:
        database(dataclasses.replace(settings.LORARY, database_url=url))
    assert "secret" not in str(told.value)


def test_redis_hands_back_what_a_dead_worker_held_within_seconds() -> None:
    _url, options = broker(dataclasses.replace(settings.LORARY, broker_url="redis://host/0"))
    assert options["visibility_timeout"] == 30
    assert options["unacked_restore_throttle"] == 1


@pytest.mark.parametrize("url", ["redis://host/0", "amqp://host"])
def test_a_request_waits_at_most_a_second_for_a_broker(url: str) -> None:
    found, options = broker(dataclasses.replace(settings.LORARY, broker_url=url))
    assert found == url
    assert (options["max_retries"], options["connect_retries_timeout"]) == (0, 0.5)
    assert options.get("socket_timeout", 0) < 1


def test_embedded_broker_delivers_and_keeps_taken_messages_on_the_data_disk() -> None:
    url, options = broker(dataclasses.replace(settings.LORARY, broker_url=""))
    name = uuid.uuid4().hex
    with Connection(url, transport_options=options) as connection:
        queue = connection.SimpleQueue(name)
        queue.put({"wake": 1})
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
        assert message.payload == {"wake": 1}
    data = settings.LORARY.data
    assert Path(options["processed_folder"]).is_relative_to(data)
    assert not list((data / "broker" / "messages").iterdir())
    assert len(list((data / "broker" / "taken").iterdir())) == 1


def test_messages_of_a_queue_that_nobody_serves_do_not_pile_up() -> None:
    url, options = broker(dataclasses.replace(settings.LORARY, broker_url=""))
    folder, name = Path(options["data_folder_in"]), uuid.uuid4().hex
    with Connection(url, transport_options=options) as connection:
        queue, other = connection.SimpleQueue(name), connection.SimpleQueue(f"{name}.sdxl")
        for number in range(MOST_WAITING + 5):
            other.put({"wake": number})
        assert len(list(folder.glob(f"*{name}.sdxl.msg"))) == MOST_WAITING
        queue.put({"wake": "me"})  # whatever waits in others
        message = queue.get(timeout=5)
        assert message.payload == {"wake": "me"}
        assert other.get(timeout=5).payload["wake"] < MOST_WAITING
        other.put({"wake": "again"})
        assert len(list(folder.glob(f"*{name}.sdxl.msg"))) == MOST_WAITING


def test_half_a_message_is_passed_over_by_who_reads_it() -> None:
    url, options = broker(dataclasses.replace(settings.LORARY, broker_url=""))
    name, folder = uuid.uuid4().hex, Path(options["data_folder_in"])
    with Connection(url, transport_options=options) as connection:
        queue = connection.SimpleQueue(name)
        (folder / f"00_half.{name}.msg").write_text('{"body": ')
        (folder / f"01_empty.{name}.msg").write_text("")
        (folder / f"02_draft.{name}.msg.new").write_text("")
        queue.put({"wake": 1})
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
        assert message.payload == {"wake": 1}
    assert [file.suffix for file in folder.iterdir()] == [".new"]
    assert not list(Path(options["control_folder"]).iterdir())


def test_messages_just_taken_are_left_to_who_took_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"processed_folder": str(tmp_path)}
    monkeypatch.setattr(settings, "CELERY_BROKER_TRANSPORT_OPTIONS", options)
    message = tmp_path / "one.checks.msg"
    message.write_text("{}")
    os.utime(message, (0, 0))  # it waited for long before it was taken
    celery.discard_taken()
    assert message.exists()
    monkeypatch.setattr(celery, "TAKEN_S", -1.0)
    celery.discard_taken()
    assert not message.exists()


def test_cache_is_in_memory_or_in_redis() -> None:
    assert "locmem" in cache(settings.LORARY)["BACKEND"]
    shared = cache(dataclasses.replace(settings.LORARY, cache_url="redis://host/1"))
    assert shared["LOCATION"] == "redis://host/1"
