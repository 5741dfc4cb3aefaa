"""Environments with packages from the index, for programs that do not fit into ours."""

from __future__ import annotations

import subprocess
import sys
import venv
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_S = 300
#: What pip says when nobody answers it.
AWAY = ("No matching distribution found", "Connection", "Temporary failure", "timed out")


def environment(folder: Path, requirements: Path) -> str:
    """Return the interpreter of a new environment; the test is skipped where no index answers.

    Args:
        folder: Where to make it.
        requirements: Every package that it needs, pinned.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    interpreter = str(folder / "bin" / "python")
    options = ["--no-deps", "--no-compile", "--disable-pip-version-check", "--quiet"]
    options += ["--retries", "2", "--timeout", "20"]
    command = [sys.executable, "-m", "pip", "--python", interpreter, "install", *options]
    done = subprocess.run(
        [*command, "--requirement", str(requirements)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode and any(word in done.stderr for word in AWAY):
        pytest.skip(f"the package index does not answer, or lacks {requirements.name}")
    assert done.returncode == 0, done.stderr
    return interpreter
