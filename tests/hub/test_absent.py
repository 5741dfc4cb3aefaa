"""Commands in a data directory without a hub say so."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.parametrize(
    "command",
    [["token", "--user", "ada", "--create"], ["doctor"]],
    ids=lambda command: command[0],
)
def test_a_command_says_that_there_is_no_hub(tmp_path: Path, command: list[str]) -> None:
    hub = RunningHub(tmp_path / "elsewhere")
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *command],
        cwd=tmp_path,
        env=hub.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert told.count(f"There is no hub in {tmp_path / 'elsewhere'} yet.") == 1
    assert "LORARY_DATA" in told
    assert "no such table" not in told
    assert "Traceback" not in told
