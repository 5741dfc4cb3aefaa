"""Traces of a running hub, as a collector of OpenTelemetry receives them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.running import ROOT, RunningHub
from tests.tracing import Collector, upload_traced

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_job_is_traced_as_a_child_of_the_request_that_enqueued_it(
    tmp_path: Path,
) -> None:
    with Collector() as collector:
        hub = RunningHub(tmp_path / "hub", "--queues", "checks", "--workers", "1")
        upload_traced(hub, collector)


def test_missing_packages_are_named(tmp_path: Path) -> None:
    # Python finds this folder first: a package in which no instrumentation is.
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").touch()
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    environ |= {"LORARY_DATA": str(tmp_path / "data"), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "pip install -r requirements/otel.txt" in done.stderr
    assert "Traceback" not in done.stderr
