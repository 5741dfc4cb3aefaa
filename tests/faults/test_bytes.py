"""Bytes under fire, in short: the long form is ``make faults``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.faults.bytes import LONG_ONLY, SCENARIOS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 570


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, Any]]:
    """What a short pass of all scenarios says, by their names."""
    command = [sys.executable, "-m", "tools.faults.bytes", "--short", "--json"]
    for option in ("database", "broker"):
        if named := os.environ.get(f"LORARY_TEST_{option.upper()}_URL"):
            command += [f"--{option}", named]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr[-4000:]
    return {line["scenario"]: line for line in lines}


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in LONG_ONLY])
def test_no_promise_is_broken(told: dict[str, dict[str, Any]], name: str) -> None:
    trial = told[name]
    if trial["skipped"]:
        pytest.skip(trial["skipped"])
    assert trial["faults"] == []
    assert trial["numbers"]
