"""Metrics and traces of a hub on PostgreSQL and a bucket."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.e2e.talk import Caller
from tests.running import RunningHub
from tests.scraping import BEARER, TOKEN, firing, scrape
from tests.tracing import Collector, upload_traced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.buckets import SeaweedFS


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


@pytest.mark.service
@pytest.mark.long
def test_statements_and_requests_to_a_bucket_are_traced_below_a_job(
    tmp_path: Path, bucket_server: SeaweedFS, postgres: str
) -> None:
    settings = {"STORAGE": bucket_server.storage(), "DATABASE_URL": postgres}
    hub = RunningHub(tmp_path / "hub", "--queues", "checks", "--workers", "1", **settings)
    with Collector() as collector:
        upload_traced(hub, collector)
    job = collector.span("job check_upload")
    below = {one.name for one in collector.spans if one.trace_id == job.trace_id}
    assert "S3.GetObject" in below
    assert below & {"SELECT", "UPDATE"}
    assert "X-Amz-Signature" not in "".join(collector.texts)
