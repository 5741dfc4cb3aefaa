"""What ``make test-fast`` leaves out: a sample of each file says soon that something is broken."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest

#: Whether this run is a sample.
IS_SAMPLE = os.environ.get("LORARY_TEST_SAMPLE") == "1"
#: Cases of a parametrised test, and tests of a file that use the database (0.1 s each).
CASES, WITH_DATABASE = 2, 6


def sample(items: Iterable[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Return the tests of a sample, and the others."""
    kept: list[pytest.Item] = []
    others: list[pytest.Item] = []
    cases: Counter[str] = Counter()
    with_database: Counter[Path] = Counter()
    for item in items:
        name = item.nodeid.partition("[")[0]
        is_more = cases[name] >= CASES
        if not is_more and _has_database(item):
            is_more = with_database[item.path] >= WITH_DATABASE
            with_database[item.path] += 1
        cases[name] += 1
        (others if is_more else kept).append(item)
    return kept, others


def _has_database(item: pytest.Item) -> bool:
    fixtures: list[str] = getattr(item, "fixturenames", [])
    return item.get_closest_marker("django_db") is not None or "db" in fixtures
