"""Recorded headers lie beside the repository, not in it: without them nothing is collected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lorary import reference

if TYPE_CHECKING:
    import pytest

collect_ignore_glob = [] if reference.IS_HERE else ["test_*.py"]


def pytest_report_header(config: pytest.Config) -> str:
    """Say whether they are there."""
    del config
    state = "" if reference.IS_HERE else " is not here (LORARY_REFERENCE names it): not run"
    return f"recorded headers: {reference.ROOT}{state}"
