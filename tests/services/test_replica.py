"""Lists that visitors read from a replica of PostgreSQL: behind, away, and back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from hub.replica import MAX_LAG_S
from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Caller, caller
from tests.running import ROOT, RunningHub
from tests.scraping import TOKEN, firing, scrape, series_of
from tools.faults.servers.services import Postgres, Replica, postgres_programs, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(postgres_programs() is None, reason="PostgreSQL is not installed"),
]

LORA = kohya(DENOISERS["sd1", "diffusers"], rank=2)
LISTS = ("/browse", "/api/v1/adapters", "/api/v1/models", "/api/models", "/")
#: What one machine may have open on a server.
MAX_CONNECTIONS = 20


@dataclass(frozen=True)
class Site:
    """A hub with a primary and a replica."""

    hub: RunningHub
    primary: Postgres
    replica: Replica
    ada: Caller

    @property
    def visitor(self) -> Caller:
        return Caller(self.hub.port)

    def results(self) -> dict[str, float]:
        """Return how many requests have used the replica, found it behind, or saw it fail."""
        found = scrape(self.hub)
        name = "lorary_database_replica_requests_total"
        series = {one: series_of(name, {"result": one}) for one in ("used", "behind", "failed")}
        return {one: found.get(text, 0.0) for one, text in series.items()}

    def is_used(self) -> bool:
        """Whether the replica answers the next lists, which both processes may get."""
        before = self.results()
        statuses = [self.visitor.get("/api/v1/adapters").status for _ in range(8)]
        assert set(statuses) == {200}
        after = self.results()
        return after["used"] - before["used"] == len(statuses)

    def is_listed(self, name: str, path: str = "/api/v1/adapters") -> bool:
        return f"ada/{name}".encode() in self.visitor.get(path).body

    def see(self, name: str, visibility: str) -> None:
        """Change who may see an adapter."""
        place, change = f"/api/v1/adapters/ada/{name}", {"visibility": visibility}
        assert self.ada.call("PATCH", place, change).status == 200

    def on_replica(self, statement: str) -> None:
        with psycopg.connect(self.replica.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def report(self, **environ: str) -> dict[str, Any]:
        """Return what doctor says of the replica."""
        done = subprocess.run(
            [sys.executable, "manage.py", "doctor", "--json"],
            cwd=ROOT,
            env=self.hub.environ | environ,
            capture_output=True,
            text=True,
            check=False,
        )
        reports = json.loads(done.stdout)["reports"]
        (found,) = [one for one in reports if one["probe"] == "replica"]
        return dict(found)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="lorary-replica-"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        primary = stack.enter_context(Postgres(folder / "primary"))
        url = primary.database("hub")
        replica = stack.enter_context(Replica(folder / "replica", primary))
        hub = RunningHub(folder / "hub", "--queues", "checks", METRICS_TOKEN=TOKEN)
        hub.environ["LORARY_DATABASE_URL"] = url
        hub.environ["LORARY_DATABASE_REPLICA_URL"] = url.replace(
            str(primary.port), str(replica.port)
        )
        stack.enter_context(hub)
        found = Site(hub, primary, replica, caller(hub, "ada"))
        assert found.ada.publish(LORA, "noir").status == 201
        wait_until(found.is_used, 20, "the replica is not used")
        yield found


def test_every_list_reads_from_the_replica_and_people_with_a_token_do_not(site: Site) -> None:
    for path in LISTS:
        before = site.results()
        assert site.visitor.get(path).status == 200
        assert site.results() == before | {"used": before["used"] + 1}, path
    before = site.results()
    for path in (
        "/ada/noir",
        "/ada/noir/resolve/main/noir.safetensors",
        "/api/v1/adapters/ada/noir",
    ):
        assert site.visitor.get(path).status == 200
    assert site.ada.get("/api/v1/adapters").status == 200
    assert site.visitor.get(f"/api/v1/models?token={site.ada.token}").status == 200
    assert site.results() == before
    told = site.report()
    assert (told["state"], "is up to date" in told["message"]) == ("ok", True), told
    primary = site.hub.environ["LORARY_DATABASE_URL"]
    assert site.report(LORARY_DATABASE_REPLICA_URL=primary)["state"] == "error"


def test_doctor_reports_a_replica_of_another_cluster(site: Site) -> None:
    folder = site.replica.folder.parent
    with Postgres(folder / "other") as other:
        url = other.database("hub")
        with Replica(folder / "of-other", other) as replica:
            url = url.replace(str(other.port), str(replica.port))
            told = site.report(LORARY_DATABASE_REPLICA_URL=url)
    assert (told["state"], "another cluster" in told["message"]) == ("error", True), told


def test_a_replica_that_is_behind_shows_nothing_longer_than_the_limit(site: Site) -> None:
    assert site.ada.publish(kohya(DENOISERS["sd1", "diffusers"], rank=3), "later").status == 201
    site.see("later", "private")
    wait_until(site.is_used, 20, "the replica is not used")
    site.on_replica("SELECT pg_wal_replay_pause()")
    try:
        site.see("noir", "private")
        site.see("later", "public")
        hidden = time.monotonic()
        assert (site.is_listed("noir"), site.is_listed("later")) == (True, False)
        mine = site.ada.get("/api/v1/adapters").document["results"]
        assert {one["full_name"] for one in mine} >= {"ada/noir", "ada/later"}
        for path in ("/ada/noir", "/ada/noir/resolve/main/noir.safetensors"):
            assert site.visitor.get(path).status in {401, 404}
        wait_until(lambda: not site.is_listed("noir"), MAX_LAG_S + 5, "it is still listed")
        assert time.monotonic() - hidden < MAX_LAG_S + 1
        wait_until(lambda: site.is_listed("later"), 3, "the other process is still behind")
        assert site.results()["behind"] > 0
        told = site.report()
        assert (told["state"], "catches up" in told["hint"]) == ("warning", True), told
        assert "The replica lacks " in told["message"], told
    finally:
        site.on_replica("SELECT pg_wal_replay_resume()")
        site.see("noir", "public")
    wait_until(site.is_used, 20, "the replica is not used again")
    wait_until(lambda: site.is_listed("noir"), 5, "the replica does not follow")


def test_no_request_fails_while_the_replica_is_away(site: Site, tmp_path: Path) -> None:
    statuses: list[int] = []
    done = threading.Event()

    def read(number: int) -> None:
        while not done.is_set():
            statuses.append(site.visitor.get(LISTS[number % len(LISTS)]).status)

    before = scrape(site.hub)
    with ThreadPoolExecutor(5) as pool:
        readers = [pool.submit(read, number) for number in range(4)]
        try:
            time.sleep(2)
            restart = pool.submit(site.replica.restart, 15.0)
            time.sleep(2)
            told = site.report()
            restart.result()
            time.sleep(2)
        finally:
            done.set()
        for reader in readers:
            reader.result()
    assert set(statuses) == {200}
    assert len(statuses) > 50
    assert (told["state"], "cannot be reached" in told["message"]) == ("warning", True), told
    wait_until(site.is_used, 20, "the replica is not used again")
    log = site.hub.log.read_text()
    assert "The replica cannot be checked" in log or "The replica failed a request" in log
    assert "Lists are read from the replica again" in log
    after = scrape(site.hub)
    name = "lorary_database_replica_requests_total"
    used = {series_of(name, {"result": "used"}): after[series_of(name, {"result": "used"})]}
    assert "LoraryReplicaUnused" in firing(tmp_path, before | used, after)
    assert "LoraryReplicaUnused" not in firing(tmp_path, before, before)


def test_a_machine_has_at_most_twenty_connections_to_each_server(site: Site) -> None:
    most = {"primary": 0, "replica": 0}
    wait_until(site.is_used, 20, "the replica is not used")
    before = site.results()
    question = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'hub'"
    with (
        psycopg.connect(site.primary.url, autocommit=True) as primary,
        psycopg.connect(site.replica.url, autocommit=True) as replica,
        ThreadPoolExecutor(24) as pool,
    ):
        lists = [
            pool.submit(lambda path: site.visitor.get(path).status, LISTS[number % len(LISTS)])
            for number in range(240)
        ]
        pages = [pool.submit(lambda: site.ada.get("/ada/noir").status) for _ in range(120)]
        while not all(one.done() for one in [*lists, *pages]):
            for name, server in (("primary", primary), ("replica", replica)):
                row = server.execute(question).fetchone()
                most[name] = max(most[name], row[0] if row else 0)
            time.sleep(0.02)
    assert {one.result() for one in [*lists, *pages]} == {200}
    assert site.results()["used"] - before["used"] > len(lists) / 2, "it is busy, not away"
    assert 0 < most["replica"] <= MAX_CONNECTIONS
    assert 0 < most["primary"] <= MAX_CONNECTIONS
