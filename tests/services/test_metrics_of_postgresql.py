"""Metrics of a hub on PostgreSQL."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.e2e.talk import Caller
from tests.running import RunningHub
from tests.scraping import BEARER, TOKEN, firing, scrape

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.service
@pytest.mark.long
def test_connections_of_postgresql_are_told_with_their_limit(tmp_path: Path, postgres: str) -> None:
    settings = {"METRICS_TOKEN": TOKEN, "DATABASE_URL": postgres}
    with RunningHub(tmp_path / "hub", "--no-worker", "--workers", "1", **settings) as hub:
        free = scrape(hub)
        assert 1 <= free["lorary_database_connections{}"] < 20
        assert free["lorary_database_max_connections{}"] == 97
        held = [psycopg.connect(postgres) for _ in range(80)]
        try:
            until = time.monotonic() + 20
            while (full := scrape(hub))["lorary_database_connections{}"] < 80:
                assert time.monotonic() < until
                time.sleep(0.5)
            document = Caller(hub.port).get("/healthz/ready", BEARER).document
        finally:
            for connection in held:
                connection.close()
    assert document["parts"]["database"]["connections"] >= 80
    assert "LoraryDatabaseConnections" in firing(tmp_path, free, full)
