"""Workers of machines that share a name: each job has one holder and ends once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.running import RunningHub
from tools.faults import namesakes

if TYPE_CHECKING:
    from pathlib import Path

ENQUEUE = """
from registry.models import Job
Job.objects.bulk_create(
    Job(queue="checks", task="stamp", key=f"stamp-{{n}}", max_attempts=1000) for n in range({jobs})
)
"""
#: Of the rows: what became of the jobs.
COUNT = """
from django.db.models import Count
from registry.models import Job
print({row["state"]: row["n"] for row in Job.objects.values("state").annotate(n=Count("pk"))})
"""


def test_a_ledger_with_two_holders_is_refused() -> None:
    lines = ["begin 70 1", "begin 71 1"]
    with pytest.raises(namesakes.Doubled):
        namesakes.verify(lines)
    lines.insert(1, "kill 70 0")
    assert namesakes.verify([*lines, "end 71 1"]) == {"1": 1}
    with pytest.raises(namesakes.Doubled):
        namesakes.verify([*lines, "end 70 1"])


@pytest.mark.slow
def test_jobs_of_killed_namesakes_end_once(tmp_path: Path) -> None:
    jobs = 200
    hub = RunningHub(tmp_path / "hub")
    hub.migrate()
    hub.manage("shell", "--verbosity", "0", "--command", ENQUEUE.format(jobs=jobs))
    database = hub.environ.get("LORARY_DATABASE_URL", f"sqlite:///{hub.data / 'lorary.sqlite3'}")
    ledger = tmp_path / "ledger"
    boxes = [
        namesakes.start(
            ledger,
            hub.environ
            | {"LORARY_DATA": str(tmp_path / f"box{n}"), "LORARY_DATABASE_URL": database},
            kill_after_s=0.3,
        )
        for n in range(2)
    ]
    try:
        assert [box.wait(timeout=60) for box in boxes] == [0, 0]
    finally:
        for box in boxes:
            box.kill()
    lines = ledger.read_text().splitlines()
    assert sum(line.startswith("kill") for line in lines) >= 2
    ends = namesakes.verify(lines)
    # A worker that is killed between its last line and the row's end leaves the job to another.
    assert len(ends) == jobs
    assert (
        hub.manage("shell", "--verbosity", "0", "--command", COUNT).strip() == f"{{'done': {jobs}}}"
    )
