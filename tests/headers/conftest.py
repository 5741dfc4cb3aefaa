"""Real headers are facts that lie beside the repository, not in it.

``LORARY_TEST_REFERENCE`` names the folder that holds ``lora_headers``; without it the folder
``../shared/reference`` is looked for. Where there is none, these tests are not collected.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_ROOT = Path(__file__).resolve().parents[2]
_BESIDE = _ROOT.parent / "shared" / "reference"

HEADERS = Path(os.environ.get("LORARY_TEST_REFERENCE") or _BESIDE) / "lora_headers"

collect_ignore_glob = [] if HEADERS.is_dir() else ["test_*.py"]


def pytest_report_header(config: pytest.Config) -> str:
    """Say whether the real headers are there."""
    del config
    state = "" if HEADERS.is_dir() else " is absent: not run (LORARY_TEST_REFERENCE names it)"
    return f"real headers: {HEADERS}{state}"
