"""Counts of downloads on PostgreSQL, where several servers write at once."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from benchmarks.setup.hubs import path_of
from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Caller, caller
from tests.running import RunningHub

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.long, pytest.mark.service, pytest.mark.slow]

VISITS, ADAPTERS = 40, 4


def test_a_crowd_is_counted_exactly_by_servers_that_write_at_once(
    postgres: str, tmp_path: Path
) -> None:
    with psycopg.connect(postgres, autocommit=True) as rows:
        rows.execute("CREATE DATABASE counting")
    url = postgres.rpartition("/")[0] + "/counting"
    with RunningHub(tmp_path / "hub", "--queues", "checks", DATABASE_URL=url) as hub:
        ada = caller(hub, "ada")
        places = [publish(ada, number) for number in range(ADAPTERS)]

        def visit(seed: int) -> None:
            """Take all files in an order of one's own."""
            for place in random.Random(seed).sample(places, ADAPTERS):
                assert Caller(hub.port).get(place).status == 200

        with ThreadPoolExecutor(16) as crowd:
            list(crowd.map(visit, range(VISITS)))
        assert hub.stop() == 0
        assert "downloads are counted later" not in hub.log.read_text()
        hub.start()
        pages = [ada.get(place.partition("/versions")[0]).document for place in places]
        assert [page["downloads"] for page in pages] == [VISITS] * ADAPTERS
    with psycopg.connect(url, autocommit=True) as rows:
        counted = rows.execute("SELECT sum(count), count(*) FROM registry_dailydownloads")
        total, days = counted.fetchone() or (0, 0)
        sequence = "SELECT pg_sequence_last_value(pg_get_serial_sequence(%s, 'id')::regclass)"
        (last,) = rows.execute(sequence, ["registry_dailydownloads"]).fetchone() or (0,)
        width = "SELECT pg_typeof(id)::text FROM registry_dailydownloads LIMIT 1"
        (kind,) = rows.execute(width).fetchone() or ("",)
    assert total == VISITS * ADAPTERS
    assert (last, kind) == (days, "bigint")  # no flush used up an id of its own


def publish(ada: Caller, number: int) -> str:
    """Publish an adapter and return the address of its file."""
    data = kohya(DENOISERS["sd1", "diffusers"], rank=4 + number)
    made = ada.publish(data, f"style-{number}")
    assert made.status == 201, made.body
    return path_of(made.document["files"][0]["download_url"])
