"""``manage.py workers``, and real workers that are paused, resumed and ended."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from hub.management.commands import worker
from registry.jobs import queue
from registry.models import Job, JobState, Worker, WorkerWish
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FACTS = {
    "device": "NVIDIA RTX 4090",
    "memory_gb": 24.0,
    "families": ["sdxl"],
    "bases": [{"id": "sdxl", "family": "sdxl", "title": "SDXL", "seconds": 1.25}],
}


def run(*arguments: str) -> str:
    out = StringIO()
    with pytest.raises(SystemExit, match="0"):
        call_command("workers", *arguments, stdout=out)
    return out.getvalue()


def announced(name: str, **fields: Any) -> Worker:
    return Worker.objects.create(
        name=name, queues=["render.sdxl"], facts=FACTS, seen_at=timezone.now(), **fields
    )


@pytest.mark.django_db
def test_the_list_says_what_each_is_and_does() -> None:
    announced("gpu:7")
    job = queue.enqueue(queue="render.sdxl", task="paint", args={}, key="k")
    Job.objects.update(state=JobState.RUNNING, worker="gpu:7", done=3, total=20)
    text = run()
    assert "gpu:7  at work, seen 0 s ago" in text
    assert "NVIDIA RTX 4090, 24 GB · serves sdxl" in text
    assert "sdxl: 1.25 s per picture" in text
    assert f"at paint (job {job.pk}, 3 of 20)" in text
    [told] = json.loads(run("--json"))["workers"]
    assert (told["name"], told["device"], told["job"]["done"]) == ("gpu:7", FACTS["device"], 3)


@pytest.mark.django_db
def test_nobody_there_says_how_to_start_one() -> None:
    assert "manage.py worker" in run()
    assert json.loads(run("--json")) == {"workers": []}


@pytest.mark.django_db
def test_wishes_are_written_down() -> None:
    announced("a:1")
    announced("b:1")
    assert "a:1  paused" in run("pause", "a:1")
    assert set(Worker.objects.values_list("wish", flat=True)) == {"pause", "work"}
    run("drain", "--all")
    assert set(Worker.objects.values_list("wish", flat=True)) == {"drain"}
    run("resume", "--all")
    assert set(Worker.objects.values_list("wish", flat=True)) == {WorkerWish.WORK}


@pytest.mark.django_db
@pytest.mark.parametrize("arguments", [["pause", "nobody:1"], ["pause"], ["pause", "a:1", "--all"]])
def test_a_wish_needs_workers_that_exist(arguments: list[str]) -> None:
    announced("a:1")
    with pytest.raises(CommandError, match="worker"):
        call_command("workers", *arguments)


def told(hub: RunningHub, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(hub.manage("workers", *arguments, "--json"))["workers"]
    return found


#: Waits in one process until there are some workers; each start of a command takes a second.
WAIT = """
import time
from registry.models import Worker
until = time.monotonic() + 30
while (found := Worker.objects.count()) != {count}:
    assert time.monotonic() < until, found
    time.sleep(0.05)
"""


def wait_until(hub: RunningHub, count: int) -> list[dict[str, Any]]:
    hub.manage("shell", "--verbosity", "0", "--command", WAIT.format(count=count))
    return told(hub)


@pytest.mark.e2e
@pytest.mark.slow
def test_a_drained_worker_ends_and_is_not_started_again(tmp_path: Path) -> None:
    with RunningHub(tmp_path / "hub", LOG_LEVEL="INFO") as hub:
        checks, render = sorted(wait_until(hub, 2), key=lambda one: one["queues"])
        assert checks["queues"] == ["checks"]
        assert render["queues"] == ["render", "render.miniature"]
        assert render["families"] == ["miniature"]
        assert render["device"].startswith("CPU")
        told(hub, "drain", render["name"])
        [left] = wait_until(hub, 1)
        assert left["name"] == checks["name"]
        time.sleep(2)
        assert not any("queues render" in words for words in hub.pids().values())
        said = hub.log.read_text()
        assert "worker of render exited with code 0." in said
        assert f"worker {render['name']} started for render, render.miniature" in said
        assert said.count(f"worker {render['name']} takes no further jobs: it is drained") == 1
        assert f"worker {render['name']} stopped: drained" in said
        told(hub, "pause", "--all")
        assert told(hub)[0]["wish"] == "pause"
    said = hub.log.read_text()
    assert f"worker {checks['name']} started for checks" in said
    assert f"worker {checks['name']} stopped: SIGTERM" in said


def test_the_log_says_how_a_worker_ended_without_a_signal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    celery, poller = Mock(exitcode=1), Mock()
    monkeypatch.setattr(worker, "_Worker", lambda **_options: celery)
    monkeypatch.setattr(worker, "Poller", lambda *_queues, **_options: poller)
    for name in ("_end_by_signals", "tracing", "identity", "queue"):
        monkeypatch.setattr(worker, name, Mock())
    with caplog.at_level("INFO", logger=worker.log.name):
        assert worker._work(["checks"], ["checks"]) == 1
        assert caplog.messages[-1].endswith(" stopped: exit code 1")
        celery.start.side_effect = OSError("lost")
        with pytest.raises(OSError, match="lost"):
            worker._work(["checks"], ["checks"])
        assert caplog.messages[-1].endswith(" stopped: an error")


@contextmanager
def a_worker(folder: Path) -> Iterator[tuple[RunningHub, subprocess.Popen[str]]]:
    """Run a worker without a web server until it has logged that it started."""
    hub = RunningHub(folder, LOG_LEVEL="INFO")
    hub.migrate()
    command = [sys.executable, "manage.py", "worker", "--queues", "checks"]
    with subprocess.Popen(
        command, cwd=hub.root, env=hub.environ, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            assert any(" started for checks" in line for line in process.stderr)
            yield hub, process
        finally:
            process.kill()


@pytest.mark.slow
def test_a_worker_that_is_stopped_while_it_starts_says_so(tmp_path: Path) -> None:
    with a_worker(tmp_path / "hub") as (_hub, process):
        process.terminate()  # before Celery's loop
        _out, said = process.communicate(timeout=30)
    assert " stopped: SIGTERM" in said
    assert process.returncode == 0


@pytest.mark.slow
def test_a_worker_that_is_stopped_without_its_database_says_so(tmp_path: Path) -> None:
    with a_worker(tmp_path / "hub") as (hub, process):
        wait_until(hub, 1)
        sql = "from django.db import connection as c; c.cursor().execute('{}')"
        hub.manage("shell", "-c", sql.format("ALTER TABLE registry_job RENAME TO away"))
        process.terminate()
        _out, said = process.communicate(timeout=30)
    assert " stopped: SIGTERM" in said
    assert "registry_job" in said  # its job could not be given back
