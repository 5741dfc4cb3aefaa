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


#: In ``make test``: processes killed at random moments.
FEW = ("kills",)


def told(*names: str) -> dict[str, dict[str, Any]]:
    """Return what a short pass of some scenarios says, by their names."""
    command = [sys.executable, "-m", "tools.faults.bytes", "--short", "--json"]
    for name in names:
        command += ["--only", name]
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


@pytest.mark.parametrize(
    "names",
    [
        FEW,
        pytest.param(
            tuple(name for name in SCENARIOS if name not in {*FEW, *LONG_ONLY}),
            marks=pytest.mark.long,
        ),
    ],
    ids=" and ".join,
)
def test_no_promise_is_broken(names: tuple[str, ...]) -> None:
    trials = told(*names)
    assert set(trials) == set(names)
    for trial in trials.values():
        assert trial["faults"] == []
        assert trial["numbers"] or trial["skipped"]
    skipped = [trial["skipped"] for trial in trials.values() if trial["skipped"]]
    if skipped:
        pytest.skip("; ".join(skipped))
