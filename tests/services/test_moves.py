"""Moves to a bucket and back, and backups of PostgreSQL, while people use the hub."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.buckets import CREDENTIALS
from tests.running import RunningHub
from tests.transitions import moves_to, restores

if TYPE_CHECKING:
    from pathlib import Path

    from tests.buckets import SeaweedFS

pytestmark = [pytest.mark.long, pytest.mark.service, pytest.mark.slow]


def test_files_move_to_a_bucket_and_back_under_use(
    bucket_server: SeaweedFS, tmp_path: Path
) -> None:
    hub = RunningHub(tmp_path / "hub", "--queues", "checks", UPLOAD_PART_BYTES=str(5 * 2**20))
    hub.environ |= CREDENTIALS
    with hub:
        moves_to(hub, bucket_server.storage(), rank=512)
        moves_to(hub, (tmp_path / "back").as_uri(), rank=512, keeps_parts=False)


@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="pg_dump is not installed")
def test_a_backup_of_a_hub_on_postgresql_makes_the_same_hub(postgres: str, tmp_path: Path) -> None:
    names = ("kept", "made_anew")
    with psycopg.connect(postgres, autocommit=True) as server:
        for name in names:
            server.execute(f"CREATE DATABASE {name}".encode())
    server_url = postgres.rpartition("/")[0]
    hub, anew = (
        RunningHub(
            tmp_path / name,
            "--queues",
            "checks",
            DATABASE_URL=f"{server_url}/{name}",
            UPLOAD_PART_BYTES=str(256 * 1024),
        )
        for name in names
    )
    with hub:
        restores(hub, anew, str(tmp_path / "backup"))
