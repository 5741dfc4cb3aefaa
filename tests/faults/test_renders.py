"""Renders under fire, in short: the long form is ``make faults``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.e2e, pytest.mark.service]

ROOT = Path(__file__).resolve().parents[2]


def test_renders_survive_killed_workers_doubled_messages_and_a_lost_broker() -> None:
    if not (shutil.which("redis-server") or shutil.which("valkey-server")):
        pytest.skip("redis-server is not installed")
    fire = ["--jobs", "8", "--kill-every", "2", "--ask-every", "2", "--broker-restarts", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "tools.faults.renders", *fire, "--most", "400"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "each job ended once, no picture is there twice or missing" in done.stdout
