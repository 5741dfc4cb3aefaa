"""What a running hub tells Prometheus and monitors, and the alerts that this fires."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hub.monitoring.hub_figures import _database
from hub.operations.health import PartState
from tests.e2e.talk import Caller
from tests.running import ROOT, RunningHub, free_port
from tests.scraping import BEARER, RULES, TOKEN, Scrape, alerts, families, firing, scrape, series_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DASHBOARD = ROOT / "deploy" / "grafana" / "lorary.json"
#: These are evaluated with written series, as their causes take long or a disk of one's own.
NOT_PROVOKED = {"LorarySlow", "LoraryDiskNearlyFull", "LoraryBackupFailed", "LoraryBackupOld"}
#: On PostgreSQL only: tests/services/test_monitoring.py and test_replica.py.
OF_POSTGRESQL = {"LoraryDatabaseConnections", "LoraryReplicaUnused"}
#: A hub without a replica does not have it.
OF_REPLICA = "lorary_database_replica_requests_total"
#: The jobs of a base model that failed within an hour.
FAILED = series_of(
    "lorary_jobs_ended_last_hour", {"family": "flux1", "kind": "render", "state": "failed"}
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub whose cache is away and that no worker serves."""
    away = f"redis://127.0.0.1:{free_port()}/0"
    settings = {"METRICS_TOKEN": TOKEN, "LOG_FORMAT": "json", "LOG_LEVEL": "INFO"}
    data = tmp_path_factory.mktemp("measured") / "hub"
    with RunningHub(data, "--no-worker", CACHE_URL=away, **settings) as running:
        assert Caller(running.port).get("/").status == 200
        # Series of requests exist once the first one was counted.
        eventually(running, {requests_series("home", "200"): 1})
        yield running


def requests_series(route: str, status: str) -> str:
    """Return the series that counts the requests of a route."""
    wanted = {"method": "GET", "route": route, "status": status}
    return series_of("lorary_http_requests_total", wanted)


def requests_of(found: Scrape, route: str, status: str) -> float:
    """Return how many requests of a route were counted."""
    return found.get(requests_series(route, status), 0)


def eventually(hub: RunningHub, wanted: dict[str, float | None]) -> Scrape:
    """Return the first scrape in which series have these values; results are kept for seconds."""
    until = time.monotonic() + 20
    while True:
        found = scrape(hub)
        if all(found.get(name) == value for name, value in wanted.items()):
            return found
        assert time.monotonic() < until, {name: found.get(name) for name in wanted}
        time.sleep(0.3)


def test_only_the_token_reads_metrics(hub: RunningHub) -> None:
    caller = Caller(hub.port)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = caller.get("/metrics", headers)
        assert answer.status == 401
        assert b"LORARY_METRICS_TOKEN" in answer.body
        assert b"lorary_" not in answer.body
    assert caller.get("/metrics", {**BEARER, "Host": "10.1.2.3:8000"}).status == 200


def test_every_process_tells_the_requests_of_all(hub: RunningHub) -> None:
    page = requests_series("licences", "200")
    for _ in range(24):  # each on a connection of its own, so that both processes answer some
        assert Caller(hub.port).get("/help/licences").status == 200
    eventually(hub, {page: 24})  # the last one is counted when its client has it already
    assert {scrape(hub)[page] for _ in range(6)} == {24}


def test_a_process_that_is_killed_takes_no_counts_with_it(hub: RunningHub) -> None:
    before = requests_of(scrape(hub), "home", "200")
    assert hub.process is not None
    web = sorted(pid for pid, command in hub.pids().items() if "gunicorn" in command)
    victim = web[-1]  # the first is the parent
    subprocess.run(["kill", "-KILL", str(victim)], check=True)
    folder = next((hub.data / "metrics").iterdir())
    found = eventually(hub, {"lorary_http_requests_in_progress{}": 1})
    assert requests_of(found, "home", "200") >= before
    until = time.monotonic() + 20
    while sum(file.stat().st_size for file in folder.glob(f"*_{victim}.db")) > 2**17:
        assert time.monotonic() < until, "what was reserved for it is still there"
        time.sleep(0.1)
    assert not (folder / f"gauge_livesum_{victim}.db").exists()


def test_names_in_paths_make_no_series(hub: RunningHub) -> None:
    for number in range(3):
        Caller(hub.port).get(f"/somebody{number}/something")
        Caller(hub.port).call("BREW", f"/x/{number}")
    text = Caller(hub.port).get("/metrics", BEARER).body.decode()
    assert "somebody" not in text
    assert "BREW" not in text
    assert 'method="other"' in text


def names_in(expressions: Iterable[str]) -> set[str]:
    return {name for text in expressions for name in re.findall(r"\blorary_[a-z0-9_]+", text)}


def test_alerts_and_dashboard_use_only_metrics_that_exist(hub: RunningHub) -> None:
    found = families(hub)
    postgresql = PartState(is_up=True, facts={"connections": 1, "max_connections": 2})
    there = {family.name for family in [*found, *_database(postgresql, PartState(is_up=True))]}
    there |= {sample.name for family in found for sample in family.samples} | {OF_REPLICA}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    drawn = [target["expr"] for panel in panels for target in panel["targets"]]
    for expression in (*alerts().values(), *drawn):
        assert names_in([expression]), expression
        assert names_in([expression]) <= there, expression
    hub_wide = {family.name for family in found} - {"lorary_http_request_duration_seconds"}
    assert hub_wide - {name.removesuffix("_total") for name in names_in(drawn)} == set()


def test_every_alert_has_a_section_in_the_runbook() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    sections = re.findall(r"^#### (Lorary\w+)\n\n(.+?)(?=\n#)", text, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in sections] == list(alerts())
    assert all(len(body) > 150 for _, body in sections)
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    runbook = (ROOT / "docs" / "operations" / "runbook.md").read_text()
    for rule in group["rules"]:
        place = f"operations.md#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] == f"file:///opt/lorary/docs/{place}"
        assert f"[{rule['alert']}](../{place})" in runbook


def test_a_hub_that_is_well_fires_nothing_but_for_its_missing_worker_and_cache(
    hub: RunningHub, tmp_path: Path
) -> None:
    settled = eventually(hub, {FAILED: None})  # what another test wrote is gone
    found = {name: value for name, value in settled.items() if "cache" not in name}
    assert firing(tmp_path, found, found) == {"LoraryNoChecksWorker"}


def test_alerts_that_cannot_be_provoked_here_fire_for_writtenseries_of(tmp_path: Path) -> None:
    slow = "lorary_http_request_duration_seconds_bucket"
    labels = {"method": "GET", "route": "browse"}
    written = {
        series_of(slow, {**labels, "le": "2.5"}): 1.0,
        series_of(slow, {**labels, "le": "5.0"}): 90.0,
        series_of(slow, {**labels, "le": "+Inf"}): 100.0,
        series_of("lorary_disk_free_bytes", {"part": "storage"}): 2.0**30,
        series_of("lorary_backup_failed", {}): 1.0,
        series_of("lorary_backup_last_success_timestamp_seconds", {}): -27 * 3600.0,
    }
    assert firing(tmp_path, {}, written) == NOT_PROVOKED | {"LoraryAbsent"}


@pytest.mark.parametrize(
    ("down", "told"),
    [
        ({"database", "migrations"}, {"database"}),
        ({"migrations"}, {"migrations"}),
        ({"database", "storage"}, {"database", "storage"}),
        ({"broker", "migrations"}, {"broker", "migrations"}),
    ],
)
def test_a_stopped_database_is_one_part_that_is_down(
    tmp_path: Path, down: set[str], told: set[str]
) -> None:
    parts = ("database", "migrations", "storage", "broker")
    up = {series_of("lorary_up", {"part": part}): float(part not in down) for part in parts}
    assert firing(tmp_path, {}, up, label="part") == told


def test_uploads_that_wait_are_no_renders_without_a_worker(tmp_path: Path) -> None:
    def waiting(kind: str, family: str) -> Scrape:
        labels = {"kind": kind, "family": family, "state": "queued"}
        return {series_of("lorary_jobs", labels): 1.0}

    assert "LoraryQueueUnserved" not in firing(tmp_path, {}, waiting("checks", ""))
    assert "LoraryQueueUnserved" in firing(tmp_path, {}, waiting("render", "sdxl"))


def insert(hub: RunningHub, table: str, **values: Any) -> None:
    """Write a row as it is after something that takes long."""
    with closing(sqlite3.connect(hub.data / "lorary.sqlite3", isolation_level=None)) as rows:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        rows.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values()))


def ago(minutes: float) -> str:
    return f"{datetime.now(UTC) - timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S.%f}"


def job(hub: RunningHub, queue: str, **values: Any) -> None:
    row = {
        "queue": queue, "task": "test", "args": "{}", "key": uuid.uuid4().hex, "state": "queued",
        "priority": 0, "attempt": 0, "max_attempts": 5, "worker": "", "done": 0, "total": 0,
        "reason": "", "is_cancel_asked": 0, "created_at": ago(10),
    }  # fmt: skip
    insert(hub, "registry_job", **row | values)


def test_alerts_fire_for_what_they_are_about(hub: RunningHub, tmp_path: Path) -> None:
    if not (hub.data / "lorary.sqlite3").exists():
        pytest.skip("the rows are on a server")
    before = scrape(hub)
    job(hub, "checks")
    job(hub, "render.sdxl")
    for _ in range(6):
        job(hub, "render.flux1", state="failed", reason="out of memory", finished_at=ago(1))
    insert(
        hub, "registry_worker", name="gpu-7:1", queues='["render.flux1"]', facts="{}", wish="work",
        jobs_done=0, started_at=ago(9), seen_at=ago(2),
    )  # fmt: skip
    with closing(sqlite3.connect(hub.data / "lorary.sqlite3", isolation_level=None)) as rows:
        rows.execute("ALTER TABLE registry_packversion RENAME TO taken_away")
        for _ in range(3):  # a page without its table; the cache is asked, too
            assert Caller(hub.port).get("/packs").status in {500, 503}
        rows.execute("ALTER TABLE taken_away RENAME TO registry_packversion")
    try:
        after = eventually(hub, {FAILED: 6, series_of("lorary_up", {"part": "cache"}): 0})
    finally:
        with closing(sqlite3.connect(hub.data / "lorary.sqlite3", isolation_level=None)) as rows:
            rows.execute("DELETE FROM registry_job")
            rows.execute("DELETE FROM registry_worker")
    assert after[series_of("lorary_worker_heartbeat_age_seconds", {"kind": "render"})] >= 120
    assert (
        after[series_of("lorary_jobs_oldest_queued_seconds", {"family": "", "kind": "checks"})]
        >= 600
    )
    assert after["lorary_cache_failures_total{}"] > before["lorary_cache_failures_total{}"]
    expected = set(alerts()) - NOT_PROVOKED - OF_POSTGRESQL - {"LoraryAbsent"}
    assert firing(tmp_path, before, after) == expected


def test_operators_are_told_reasons_and_limits(hub: RunningHub) -> None:
    caller = Caller(hub.port)
    began = time.monotonic()
    document = caller.get("/healthz/ready", BEARER).document
    assert time.monotonic() - began < 1
    parts = document.pop("parts")
    plain = {"status", "database", "migrations", "storage", "broker"}
    assert set(document) == plain
    assert set(parts) == plain - {"status"} | {"cache", "queues", "workers"}
    assert parts["storage"]["free_bytes"] > parts["storage"]["min_free_bytes"] > 0
    assert parts["cache"]["state"] == "down"
    assert "127.0.0.1" in parts["cache"]["reason"]
    assert parts["workers"]["checks"] == {"alive": 0, "seen_seconds_ago": None}
    for headers in ({}, {"Authorization": "Bearer lor_wrong"}):
        assert set(caller.get("/healthz/ready", headers).document) == plain


def entries_of(hub: RunningHub) -> list[dict[str, Any]]:
    lines = hub.log.read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def is_of(entry: dict[str, Any], request_id: str, route: str) -> bool:
    return (entry.get("request_id"), entry.get("route")) == (request_id, route)


def test_the_log_of_a_hub_is_json_with_a_line_for_each_request(hub: RunningHub) -> None:
    caller = Caller(hub.port)
    answer = caller.get("/browse?token=lor_secretsecretsecret&q=noir", {"X-Request-Id": "forged"})
    request_id = answer.headers["x-request-id"]
    assert request_id != "forged", "no proxy is trusted here"
    until = time.monotonic() + 10
    while not (said := [one for one in entries_of(hub) if is_of(one, request_id, "browse")]):
        assert time.monotonic() < until
        time.sleep(0.1)
    (entry,) = said
    assert entry["logger"] == "lorary.access"
    assert (entry["method"], entry["path"], entry["address"]) == ("GET", "/browse", "127.0.0.1")
    assert entry["bytes"] > 0
    assert entry["seconds"] > 0
    assert not [one for one in entries_of(hub) if one.get("route") in {"/healthz/live", "/metrics"}]
    for secret in ("secretsecret", "q=noir", TOKEN):
        assert secret not in hub.log.read_text()
