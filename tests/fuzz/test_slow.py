"""A short attack of the kind that ``slow.py`` makes for long."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.running import RunningHub
from tools.fuzz.dawdling import WAYS
from tools.fuzz.slow import attacked

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="has every address of 127.0.0.0/8"),
]

FOR_S = 15.0


def test_slow_clients_of_one_address_stop_nobody_else(tmp_path: Path) -> None:
    with RunningHub(tmp_path / "hub", "--no-worker") as hub:
        found = attacked(hub, FOR_S, seed=1)
    assert found["faults"] == []
    assert set(found["ways"]) == set(WAYS)
