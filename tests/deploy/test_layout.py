"""The layout of ``deploy/compose.yaml``, run for real without containers."""

from __future__ import annotations

import hashlib
import logging
import shlex
import signal
import subprocess
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from benchmarks.setup.hubs import path_of
from tests.builders.adapters import DENOISERS, kohya
from tests.deploy.layout import DEPLOY, Layout, programs_are_here, status_of, wait_until
from tests.e2e.talk import Caller
from tests.nginx import program
from tests.services.conftest import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.service,
    pytest.mark.e2e,
    pytest.mark.skipif(program() is None, reason="there is no nginx (apt-get install nginx)"),
    pytest.mark.skipif(not programs_are_here(), reason="there is no Redis or SeaweedFS"),
]
__all__ = ["postgres"]  # the fixture

log = logging.getLogger(__name__)

LORA = kohya(DENOISERS["sd1", "diffusers"])
DIGEST = hashlib.sha256(LORA).hexdigest()
#: Clients of the load, the share of the capacity that they use, and seconds of each phase.
CLIENTS, SHARE, MEASURED_S = 4, 0.7, 4.0
#: Seconds after the end of a node from which on no request may fail.
NOTICED_S = 5.0
#: Uploads that wait for their checks when a worker is ended.
JOBS = 40


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Layout]:
    folder = tmp_path_factory.mktemp("layout")
    with Layout(folder, postgres, nodes="random;\n", LORARY_HOST="127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def ada(layout: Layout) -> Caller:
    return Caller(layout.port, layout.manage("token", "--user", "ada", "--create").strip())


@pytest.fixture(scope="module")
def file(ada: Caller) -> str:
    """Address of a published file."""
    published = ada.publish(LORA, "noir")
    assert published.status == 201, published.body
    return path_of(published.document["files"][0]["download_url"])


def test_a_file_is_uploaded_checked_and_downloaded_over_both_nodes(
    layout: Layout, ada: Caller, file: str
) -> None:
    for _ in range(10):
        assert hashlib.sha256(ada.get(file).body).hexdigest() == DIGEST
    for name in ("web1", "web2"):
        own = Caller(layout.ports[name], ada.token)
        assert own.get("/api/v1/adapters/ada/noir").status == 200
    assert "twice the largest table" in layout.manage("upgrade", "--check")
    for rank in (2, 3, 5):  # announced to one node, sent to either
        ada.accepted(kohya(DENOISERS["sd1", "diffusers"], rank=rank))


def test_redis_asks_for_its_password(layout: Layout) -> None:
    port = str(layout.ports["redis"])
    said = subprocess.run(["redis-cli", "-p", port, "ping"], capture_output=True, check=True)
    assert b"NOAUTH" in said.stdout  # as the health check of compose.yaml expects


def test_the_first_node_is_killed_and_no_upload_is_lost(
    layout: Layout, ada: Caller, file: str
) -> None:
    upload = ada.announce("second.safetensors", len(LORA)).document["id"]
    layout.stop("web1", signal.SIGKILL)
    killed_at = time.monotonic()
    place = f"/api/v1/uploads/{upload}/content"
    try:
        # nginx cannot send a body again that it does not buffer: clients repeat it.
        wait_until(lambda: ada.call("PUT", place, LORA).status == 200, NOTICED_S)
        assert ada.final_state(upload) == "accepted"
        time.sleep(max(0.0, killed_at + NOTICED_S - time.monotonic()))
        for _ in range(20):
            answer = ada.get(file)
            assert (answer.status, answer.body) == (200, LORA)
        ada.accepted(kohya(DENOISERS["sd1", "diffusers"], rank=7))
    finally:
        layout.start("web1")
        wait_until(lambda: layout.is_ready("web1"))


def test_a_worker_that_is_drained_ends_with_0_and_compose_leaves_it_so(layout: Layout) -> None:
    assert layout.services["checks"]["restart"] == "on-failure"
    wait_until(lambda: "checks" in layout.manage("workers"))
    layout.manage("workers", "drain", "--all")
    assert layout.processes["checks"].wait(30) == 0
    layout.start("checks")


def test_checks_of_a_worker_that_is_ended_in_the_middle_are_done_once(
    layout: Layout, ada: Caller
) -> None:
    """SIGTERM gives the job back, and the worker that Docker starts next goes on."""
    if layout.processes["checks"].poll() is not None:
        layout.start("checks")
    before = _jobs_done(layout)
    files = [
        kohya(DENOISERS["sd1", "diffusers"], metadata={"number": str(number)})
        for number in range(JOBS)
    ]
    uploads = [ada.sent_stream([data], len(data)) for data in files]
    wait_until(lambda: _jobs_done(layout) > before, 30)
    assert layout.stop("checks") == 0
    done = _jobs_done(layout) - before
    layout.start("checks")
    assert {ada.final_state(upload) for upload in uploads} == {"accepted"}
    wait_until(lambda: _jobs_done(layout) >= before + JOBS, 30)
    assert (_jobs_done(layout) - before, done < JOBS) == (JOBS, True)


def _jobs_done(layout: Layout) -> int:
    """Return how many checks have ended, of which each upload has one."""
    ended = (
        "SELECT count(*), count(DISTINCT key) FROM registry_job "
        "WHERE task = 'check_upload' AND state = 'done'"
    )
    with psycopg.connect(layout.database_url) as connection:
        jobs, keys = connection.execute(ended.encode()).fetchone() or (0, 0)
    assert jobs == keys
    return int(jobs)


class Load:
    """Clients that ask for pages, lists, ranges of files and hashes, at a steady rate.

    Each request has a connection of its own: nginx closes idle ones when it is reloaded, which
    clients meet with another attempt.

    Attributes:
        rate: Requests per second of all clients; 0 means as many as they can.
        outcomes: How often each status was the answer; -1 counts requests without an answer.
    """

    def __init__(self, ada: Caller, file: str, rate: float = 0.0) -> None:
        self.ada, self.rate = ada, rate
        self.outcomes: Counter[int] = Counter()
        self.failures: list[str] = []
        self._stopping = threading.Event()
        requests: list[Callable[[], int]] = [
            lambda: Caller(ada.port).get("/").status,
            lambda: Caller(ada.port).get("/api/v1/adapters").status,
            lambda: ada.get(file, {"Range": "bytes=0-65535"}).status,
            lambda: ada.post("/api/v1/hashes", {"hashes": [DIGEST]}).status,
        ]
        self._threads = [
            threading.Thread(target=self._ask, args=(requests, n)) for n in range(CLIENTS)
        ]

    def __enter__(self) -> Load:
        self.began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self.began

    def _ask(self, requests: list[Callable[[], int]], number: int) -> None:
        count = number
        while not self._stopping.is_set():
            if self.rate:
                due = self.began + count / self.rate
                time.sleep(max(0.0, due - time.monotonic()))
            try:
                status = requests[count // CLIENTS % len(requests)]()
            except OSError as error:
                status = -1
                self.failures.append(repr(error))
            self.outcomes[status] += 1
            count += CLIENTS


def test_web_nodes_restart_one_by_one_without_a_failed_request(
    layout: Layout, ada: Caller, file: str
) -> None:
    with Load(ada, file) as unbounded:
        time.sleep(MEASURED_S)
    sustained = unbounded.outcomes.total() / unbounded.seconds
    environ = {
        "PATH": "/usr/sbin:/usr/bin:/bin",
        "NODES_FILE": str(layout.nodes),
        "RELOAD": f"kill -HUP {layout.nginx.process.pid}",  # type: ignore[union-attr]  # it runs
        "RESTART": f'echo "$NODE" >{shlex.quote(str(layout.folder))}/restart',
        "READY": f"test -e {shlex.quote(str(layout.folder))}/ready-$NODE",
        "DRAIN_S": "3",
    }
    names = {f"127.0.0.1:{layout.ports[name]}": name for name in ("web1", "web2")}
    script = ["sh", str(DEPLOY / "rolling-restart.sh"), *names]
    before = {name: layout.processes[name].pid for name in names.values()}
    with Load(ada, file, rate=SHARE * sustained) as load:
        time.sleep(1)
        with subprocess.Popen(script, env=environ) as process:
            for address, name in names.items():
                _restart_when_asked(layout, address, name)
            assert process.wait(60) == 0
        time.sleep(1)
    assert not load.failures, load.failures[:5]
    assert set(load.outcomes) <= {200, 206}, load.outcomes
    assert all(layout.processes[name].pid != pid for name, pid in before.items())
    assert " down" not in layout.nodes.read_text()
    log.info("%.0f requests/s at most, %d during", sustained, load.outcomes.total())


def _restart_when_asked(layout: Layout, address: str, name: str) -> None:
    """Restart a node as Docker does: SIGTERM, then start."""
    asked = layout.folder / "restart"
    wait_until(lambda: asked.exists() and asked.read_text().strip() == address)
    asked.unlink()
    assert layout.stop(name) == 0
    layout.start(name)
    wait_until(lambda: layout.is_ready(name))
    (layout.folder / f"ready-{address}").touch()


def test_a_restart_is_refused_when_no_other_node_is_up(layout: Layout) -> None:
    nodes = layout.folder / "one.conf"
    nodes.write_text("server web1:8000;\n")
    script = ["sh", str(DEPLOY / "rolling-restart.sh"), "web1"]
    environ = {"PATH": "/usr/bin:/bin", "NODES_FILE": str(nodes), "RELOAD": "true"}
    done = subprocess.run(script, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "No other node is up" in done.stderr) == (1, True)
    assert nodes.read_text() == "server web1:8000;\n"
    assert status_of(layout.port, "/healthz/live") == 200
