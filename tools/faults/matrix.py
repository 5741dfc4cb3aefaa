"""The suite on the servers that a hub may stand on besides the embedded ones.

    python -m tools.faults.matrix --report docs/reports

Starts PostgreSQL, Redis and RabbitMQ in scratch folders, on free ports of the loopback, runs the
whole suite on the first two and what takes files in on the third, and says how it went. Nothing is
installed: what is missing is named, and nothing is run. Arguments after ``--`` are pytest's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from kombu import Connection

from benchmarks.results import machine
from tests.running import ROOT
from tools.faults.servers.processes import Broker
from tools.faults.servers.services import Postgres, RabbitMQ, postgres_programs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Where files are taken in, and where processes are killed meanwhile.
INGEST = (
    "tests/registry", "tests/api/test_journey.py", "tests/e2e/test_cut_uploads.py",
    "tests/e2e/test_races.py", "tests/e2e/test_refusals.py", "tests/hub/test_brokers.py",
    "tests/hub/test_up.py", "tests/hub/test_workers.py", "tests/faults/test_bytes.py",
)  # fmt: skip
#: Hubs of several tests run on one PostgreSQL at a time, and each may take some 75 connections.
CONNECTIONS = 400
#: Failed tests and reasons of skips that a report names before it only counts.
NAMED = 50


@dataclass
class Row:
    """A run of pytest on a pair of servers."""

    name: str
    database: str
    broker: str
    paths: Sequence[str] = ()
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    skips: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def read(self, file: Path) -> None:
        """Take in what pytest wrote; no file means that it did not even begin."""
        if not file.exists():
            self.failed.append("pytest did not run")
            return
        for case in ET.parse(file).iter("testcase"):
            found = {child.tag: child for child in case}
            name = f"{case.get('classname', '')}::{case.get('name', '')}"
            if "failure" in found or "error" in found:
                self.counts["failed"] += 1
                self.failed.append(name)
            elif "skipped" in found:
                self.counts["skipped"] += 1
                self.skips[found["skipped"].get("message") or "no reason"] += 1
            else:
                self.counts["passed"] += 1

    @property
    def verdict(self) -> str:
        """The closing line of the run."""
        counts = self.counts
        return f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; 1 when a test failed, 2 when a server is missing."""
    options = _parser().parse_args(arguments)
    if missing := _missing():
        _say("Missing: " + "; ".join(missing))
        return 2
    folder = Path(mkdtemp(prefix="lorary-matrix-"))
    folder.chmod(0o711)  # PostgreSQL runs as somebody else
    rows = [
        Row("the whole suite", "PostgreSQL", "Redis"),
        Row("ingest and crashes", "PostgreSQL", "RabbitMQ", INGEST),
    ]
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres(folder / "postgres", connections=CONNECTIONS))
        redis = stack.enter_context(Broker(folder))
        rabbitmq = stack.enter_context(RabbitMQ(folder / "rabbitmq"))
        versions = _versions(rabbitmq)
        brokers = {"Redis": redis.url, "RabbitMQ": rabbitmq.url}
        for number, row in enumerate(rows):
            if options.only in {None, row.broker.lower()}:
                environ = {
                    "LORARY_TEST_DATABASE_URL": postgres.url,
                    "LORARY_TEST_BROKER_URL": brokers[row.broker],
                    "LORARY_TEST_POSTGRES": postgres.url,
                    "LORARY_TEST_RABBITMQ": rabbitmq.url,
                    "LORARY_TEST_WHOLE": "1",
                }
                _run(row, environ, folder / f"row{number}.xml", options.pytest)
    done = [row for row in rows if row.counts or row.failed]
    lines = _lines(done, versions)
    _say("\n".join(lines))
    if options.report:
        _say(f"written: {_write(lines, options.report)}")
    shutil.rmtree(folder, ignore_errors=True)
    return 1 if any(row.failed for row in done) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.faults.matrix", description=__doc__)
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="also write a dated page")
    parser.add_argument("--only", choices=["redis", "rabbitmq"], help="just the row of this broker")
    parser.add_argument("pytest", nargs="*", help="more arguments of pytest")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _missing() -> list[str]:
    found = []
    if postgres_programs() is None:
        found.append("PostgreSQL (apt-get install postgresql)")
    if not (shutil.which("redis-server") or shutil.which("valkey-server")):
        found.append("Redis (apt-get install redis-server)")
    if not RabbitMQ.PROGRAM.exists():
        found.append("RabbitMQ (apt-get install rabbitmq-server)")
    return found


def _versions(rabbitmq: RabbitMQ) -> list[str]:
    programs = postgres_programs()
    redis = shutil.which("redis-server") or shutil.which("valkey-server") or "redis-server"
    with Connection(rabbitmq.url) as connection:
        connection.connect()
        properties = connection.connection.server_properties
    return [
        _first_line([str(programs / "postgres") if programs else "postgres", "--version"]),
        _first_line([redis, "--version"]),
        f"{properties.get('product', 'RabbitMQ')} {properties.get('version', '')}",
    ]


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().partition("\n")[0]


def _run(row: Row, environ: Mapping[str, str], file: Path, more: Sequence[str]) -> None:
    _say(f"\n{row.name}: {row.database}, {row.broker}")
    at_once = ["-n", "2", "--dist", "loadfile"]
    command = [sys.executable, "-m", "pytest", *row.paths, *at_once, f"--junitxml={file}", *more]
    began = time.monotonic()
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environ}, check=False)
    row.seconds = time.monotonic() - began
    row.read(file)


def _lines(rows: Sequence[Row], versions: Sequence[str]) -> list[str]:
    lines = [
        f"# The test matrix, {datetime.now(UTC):%Y-%m-%d}",
        "",
        "Written by `make test-matrix`.",
        "",
        *(f"* {fact}" for fact in (*machine(), *versions)),
        "",
        "| suite | database | broker | passed | failed | skipped | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        counts = row.counts
        figures = [counts["passed"], counts["failed"], counts["skipped"], f"{row.seconds / 60:.1f}"]
        cells = [row.name, row.database, row.broker, *map(str, figures)]
        lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        if row.failed:
            lines += ["", f"Failed on {row.database} and {row.broker}:", ""]
            lines += [f"* `{name}`" for name in row.failed[:NAMED]]
        if row.skips:
            lines += ["", f"Skipped on {row.database} and {row.broker}:", ""]
            lines += [f"* {count}: {why}" for why, count in row.skips.most_common(NAMED)]
    return [*lines, "", *(f"{row.name}: {row.verdict}" for row in rows)]


def _write(lines: Sequence[str], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y-%m-%d}-test-matrix.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
