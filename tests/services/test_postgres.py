"""The catalogue's rules on PostgreSQL: a short pass over what behaves differently there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.service, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]

#: The longest test here takes 15 s on an idle machine.
LIMIT_S = 150
#: In ``make test``: row locks, triggers, tables that are changed around them, searches and plans.
FEW = [
    "tests/registry/test_audit.py",
    "tests/registry/test_guards.py",
    "tests/registry/test_queue.py",
    "tests/registry/test_row_locks.py",
    "tests/registry/test_facets.py",
    "tests/registry/test_transferring.py",
    "tests/search/test_searching.py",
    "tests/hub/test_catalogue_queries.py",
    "-m",
    "not slow",
    "-k",
    "not no_query_fails and not test_queries",
]
#: Besides these: partial unique constraints, case, JSON, keysets; what keeps bytes; moves from
#: where one looked. ``make test-matrix`` runs everything.
PICKED = (
    "twice or pages or case or manifest or whole_body or at_once "
    "or sweeper or without_a_version or only_from_where"
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "tests",
    [
        FEW,
        pytest.param(["tests/registry", "-k", PICKED], marks=pytest.mark.long),
        pytest.param(["tests/search", "-k", "not judged"], marks=pytest.mark.long),
    ],
)
def test_the_catalogue_keeps_its_rules_on_postgresql(postgres: str, tests: list[str]) -> None:
    """A test that takes ``LIMIT_S`` ends the run, with the stacks of its threads."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", f"--timeout={LIMIT_S}", *tests],
        cwd=ROOT,
        env={**os.environ, "LORARY_TEST_DATABASE_URL": postgres},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-9000:]
