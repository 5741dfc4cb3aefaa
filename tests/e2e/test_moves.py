"""Files that move to another folder, and backups, while people use the hub."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.running import RunningHub
from tests.transitions import moves_to, restores

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

PART = str(256 * 1024)


@pytest.mark.long
def test_files_move_to_another_folder_under_use(tmp_path: Path) -> None:
    with RunningHub(tmp_path / "hub", "--queues", "checks", UPLOAD_PART_BYTES=PART) as hub:
        moves_to(hub, (tmp_path / "other disk" / "files").as_uri())


def test_a_backup_of_a_hub_in_use_makes_the_same_hub(tmp_path: Path) -> None:
    with RunningHub(tmp_path / "hub", "--queues", "checks", UPLOAD_PART_BYTES=PART) as hub:
        anew = RunningHub(tmp_path / "anew", "--queues", "checks", UPLOAD_PART_BYTES=PART)
        restores(hub, anew, str(tmp_path / "backup"))
