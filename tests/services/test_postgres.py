"""The catalogue's rules on PostgreSQL: a short pass over what behaves differently there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.service, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]

#: Row locks, partial unique constraints, case, JSON, keysets; triggers, and tables that are changed
#: around them; what keeps bytes; moves from where one looked. ``make test-matrix`` runs everything.
PICKED = (
    "queue or twice or pages or case or facets or manifest or whole_body or at_once "
    "or guards or sweeper or without_a_version or only_from_where"
)


@pytest.mark.parametrize(
    "tests",
    [
        ["tests/registry", "-k", PICKED],
        ["tests/search", "-k", "not judged"],
        ["tests/hub/test_catalogue_queries.py"],
    ],
)
def test_the_catalogue_keeps_its_rules_on_postgresql(postgres: str, tests: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests],
        cwd=ROOT,
        env={**os.environ, "LORARY_TEST_DATABASE_URL": postgres},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
