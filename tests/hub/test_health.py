"""What monitors are told: that a process answers, and that each part of the hub takes writes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.talk import Answer, Caller
from tests.running import ROOT, RunningHub, free_port
from tools.faults.scenarios.full_disk import SmallDisk
from tools.faults.trials import Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SETTLED_S = 20.0
PARTS = ["database", "migrations", "storage", "broker"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with RunningHub(
        tmp_path_factory.mktemp("healthy") / "hub", "--no-worker", "--workers", "1"
    ) as running:
        yield running


def ready(hub: RunningHub) -> Answer:
    return Caller(hub.port).get("/healthz/ready")


def told_once(hub: RunningHub, status: int, down: str = "") -> dict[str, Any]:
    """Return the document of the first answer with a status: results are kept for seconds.

    Args:
        down: A part that is down in it.
    """
    until = time.monotonic() + SETTLED_S
    while (answer := ready(hub)).status != status or (down and answer.document[down] != "down"):
        assert time.monotonic() < until, answer.body
        time.sleep(0.2)
    document: dict[str, Any] = answer.document
    return document


@contextmanager
def down(hub: RunningHub, part: str) -> Iterator[None]:
    """Look that one part is told to be down, and the hub to be well again afterwards."""
    assert told_once(hub, 200)["status"] == "ok"
    yield
    document = told_once(hub, 503)
    assert document == {"status": "unavailable"} | dict.fromkeys(PARTS, "up") | {part: "down"}
    assert Caller(hub.port).get("/healthz").document == document
    assert Caller(hub.port).get("/healthz/live").status == 200
    assert f"the {part} does not work" in hub.log.read_text()


@pytest.mark.parametrize("path", ["/healthz", "/healthz/live", "/healthz/ready"])
def test_health_is_told_whatever_the_host_is(hub: RunningHub, path: str) -> None:
    for host in ("localhost", "10.1.2.3:8000", "pod-7.internal", "x"):
        answer = Caller(hub.port).get(path, {"Host": host})
        assert (answer.status, answer.document["status"]) == (200, "ok"), host
        assert "no-store" in answer.headers["cache-control"]
    assert Caller(hub.port).get("/", {"Host": "10.1.2.3"}).status == 400
    head = Caller(hub.port).call("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0


def test_ready_names_every_part(hub: RunningHub) -> None:
    assert ready(hub).document == {"status": "ok"} | dict.fromkeys(PARTS, "up")


def test_a_store_that_takes_no_file_is_down(hub: RunningHub) -> None:
    incoming = hub.data / "files" / "incoming"
    with down(hub, "storage"):
        while not incoming.is_file():  # the hub makes the folder again at any moment
            shutil.rmtree(incoming, ignore_errors=True)
            with suppress(OSError):
                incoming.touch(exist_ok=False)
    assert str(hub.data).encode() not in ready(hub).body, "strangers learn no path"
    incoming.unlink()
    told_once(hub, 200)


def test_a_migration_that_was_not_applied_is_told(hub: RunningHub) -> None:
    if not (hub.data / "lorary.sqlite3").exists():
        pytest.skip("the rows are on a server")
    with closing(sqlite3.connect(hub.data / "lorary.sqlite3", isolation_level=None)) as rows:
        newest = "(SELECT max(id) FROM django_migrations WHERE app = 'registry')"
        (name,) = rows.execute(f"SELECT name FROM django_migrations WHERE id = {newest}").fetchone()
        with down(hub, "migrations"):
            rows.execute("UPDATE django_migrations SET name = 'x' WHERE name = ?", [name])
        rows.execute("UPDATE django_migrations SET name = ? WHERE name = 'x'", [name])
    told_once(hub, 200)


def test_somebody_who_writes_for_long_takes_nothing_down(hub: RunningHub) -> None:
    if not (hub.data / "lorary.sqlite3").exists():
        pytest.skip("the rows are on a server")
    with closing(sqlite3.connect(hub.data / "lorary.sqlite3", isolation_level=None)) as rows:
        rows.execute("BEGIN IMMEDIATE")
        until = time.monotonic() + 7  # longer than a result is kept
        while time.monotonic() < until:
            assert ready(hub).document["database"] == "up"
            time.sleep(0.5)
        rows.execute("ROLLBACK")


def test_a_broker_that_is_away_is_told(tmp_path: Path) -> None:
    address = f"redis://127.0.0.1:{free_port()}/0"
    with RunningHub(tmp_path / "hub", "--no-worker", "--workers", "1", BROKER_URL=address) as hub:
        began = time.monotonic()
        document = ready(hub).document
        assert time.monotonic() - began < 2
        assert ready(hub).status == 200, "all web servers would go with the broker"
    assert document == {"status": "degraded"} | dict.fromkeys(PARTS, "up") | {"broker": "down"}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk that a hub fits on, and little else."""
    try:
        with SmallDisk(tmp_path / "disk", size_bytes=48 * 2**20) as disk:
            yield disk
    except Skipped as reason:
        pytest.skip(str(reason))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_told_by_health_and_doctor(tmp_path: Path, small: SmallDisk) -> None:
    with RunningHub(small.folder / "hub", "--no-worker", "--workers", "1") as hub:
        hub.log = tmp_path / "log"
        told_once(hub, 200)
        with small.full():
            # Unless the rows are on a server, the database may be down first.
            assert told_once(hub, 503, down="storage")["broker"] == "up"
            command = [sys.executable, "manage.py", "doctor", "--json"]
            said = subprocess.run(
                command, cwd=ROOT, env=hub.environ, capture_output=True, text=True, check=False
            )
            found = {one["probe"]: one for one in json.loads(said.stdout)["reports"]}
            database = found.get("database", {"state": "ok"})
            assert database["state"] == "ok" or database["hint"].startswith("Free space"), found
            for probe in ("space", "storage"):
                assert found[probe]["state"] == "error"
                assert "full" in found[probe]["message"]
                assert "Free space" in found[probe]["hint"]
            assert said.returncode == 1
        assert told_once(hub, 200)["storage"] == "up"
