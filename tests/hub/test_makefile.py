"""``make``: what it says while it works."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.running import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def test_setup_says_that_it_installs_and_then_no_more(tmp_path: Path) -> None:
    """An environment whose pip has nothing to do takes the place of the real one."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text("#!/bin/sh\n", encoding="utf-8")
    python.chmod(0o755)

    def make() -> str:
        command = ["make", "--no-print-directory", "setup", f"VENV={tmp_path}"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    said = f"Installing packages into {tmp_path}: this takes some minutes the first time."
    assert make().splitlines()[0] == said
    assert said not in make()
