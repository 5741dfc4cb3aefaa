"""No hub is here: tests of the core need no data directory of their own.

The tests of published files are left out of runs that allow no skips and have none.
"""

from __future__ import annotations

import os

import pytest

from tests.lorary import reference

collect_ignore: list[str] = []
if not reference.IS_HERE and os.environ.get("LORARY_TEST_REQUIRE") == "all":
    # These files are no part of the repository, so a run without them is still a whole one.
    collect_ignore += [
        "test_document_reference.py",
        "test_metadata_reference.py",
        "test_reference.py",
    ]


@pytest.fixture(autouse=True)
def _own_data() -> None:
    """Make no folders: there are thousands of these tests."""


@pytest.fixture(autouse=True)
def _own_counts() -> None:
    """Count no downloads."""
