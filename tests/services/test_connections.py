"""How many connections to PostgreSQL a machine needs, whatever its clients do."""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.running import RunningHub

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.long]

#: Connections of a machine with two web processes and a worker for checks.
MOST = 20
#: Uploads whose clients send nothing for a while: more than both pools have connections.
SLOW, READERS = 14, 24
SIZE = 2**20


def test_a_machine_has_at_most_twenty_connections(postgres: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE DATABASE pooled")
    url = postgres.rpartition("/")[0] + "/pooled"
    settings = {"DATABASE_URL": url, "TRUST_PROXY": "true"}
    hub = RunningHub(tmp_path / "hub", "--queues", "checks", **settings)
    counts: list[int] = []
    with hub, ExitStack() as stack:
        token = hub.manage("token", "--user", "ada", "--create").strip()
        slow = [stack.enter_context(closing(begin_upload(hub, token, n))) for n in range(SLOW)]
        done = threading.Event()
        watch = threading.Thread(target=count, args=(postgres, counts, done))
        watch.start()
        with ThreadPoolExecutor(READERS) as pool:
            statuses = list(pool.map(lambda n: read(hub, n), range(READERS * 4)))
        done.set()
        watch.join()
        assert set(statuses) == {200}
        for connection in slow:
            connection.send(bytes(SIZE // 2))
            assert connection.getresponse().status == 200
    assert max(counts) <= MOST, counts


def test_the_health_probe_leaves_pooled_connections_as_they_were(
    postgres: str, tmp_path: Path
) -> None:
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE DATABASE probed")
    hub = RunningHub(tmp_path / "hub", DATABASE_URL=postgres.rpartition("/")[0] + "/probed")
    hub.migrate()
    code = (
        "from django.db import connection, connections\n"
        "from hub.operations.probes import check_database\n"
        "for _ in range(3):\n"
        "    check_database({}); pid = connection.connection.info.backend_pid\n"
        "    connections.close_all(); connection.ensure_connection()\n"
        "    cursor = connection.cursor(); cursor.execute('SHOW statement_timeout')\n"
        "    print(pid == connection.connection.info.backend_pid, cursor.fetchone()[0])"
    )
    assert hub.manage("shell", "--no-imports", "--command", code).splitlines() == ["True 0"] * 3


def begin_upload(hub: RunningHub, token: str, number: int) -> http.client.HTTPConnection:
    """Send half of a part, and leave the rest."""
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    head |= seen_by_proxy(hub, number)
    with closing(http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)) as first:
        announced = json.dumps({"path": f"{number}.safetensors", "size": SIZE})
        first.request("POST", "/api/v1/uploads", announced, head)
        upload = json.loads(first.getresponse().read())
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)
    connection.putrequest("PUT", f"/api/v1/uploads/{upload['id']}/parts/1")
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Length", str(SIZE))
    for name, value in seen_by_proxy(hub, number).items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(bytes(SIZE // 2))
    return connection


def seen_by_proxy(hub: RunningHub, number: int) -> dict[str, str]:
    """Return the headers of a proxy for one of many clients: each has a share of the threads."""
    return {
        "X-Forwarded-For": f"192.0.2.{number}",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": f"127.0.0.1:{hub.port}",
    }


def read(hub: RunningHub, number: int) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)) as connection:
        headers = seen_by_proxy(hub, 100 + number % READERS)
        connection.request("GET", "/api/v1/adapters", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def count(postgres: str, counts: list[int], done: threading.Event) -> None:
    question = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'pooled'"
    with psycopg.connect(postgres, autocommit=True) as server:
        while not done.is_set():
            found = server.execute(question).fetchone()
            counts.append(found[0] if found else 0)
            time.sleep(0.05)
