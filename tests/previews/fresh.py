"""Code in a Python of its own, where nothing is imported yet."""

from __future__ import annotations

import subprocess
import sys


def run_fresh(code: str) -> subprocess.CompletedProcess[str]:
    """Run code with the settings of the tests, from the repository's root."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"DJANGO_SETTINGS_MODULE": "hub.settings.test", "PYTHONPATH": ".:sdk/src"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
