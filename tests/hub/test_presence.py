"""Who has a data directory for himself."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from hub.operations import process_lock
from registry.models import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _left_after_the_test() -> Iterator[None]:
    before = len(process_lock._held)
    yield
    for handle in process_lock._held[before:]:
        os.close(handle)
    del process_lock._held[before:]


def test_nobody_is_alone_while_a_hub_runs() -> None:
    process_lock.hold()
    process_lock.hold()  # a worker beside it
    with (
        pytest.raises(process_lock.Busy, match="Stop it and its workers first"),
        process_lock.exclusive(),
    ):
        pass


def test_no_hub_starts_while_somebody_is_alone() -> None:
    with process_lock.exclusive():
        with pytest.raises(process_lock.Busy, match="Start it afterwards"):
            process_lock.hold()
        with pytest.raises(CommandError, match="Start it afterwards"):
            call_command("up")
        with pytest.raises(CommandError, match="Start it afterwards"):
            call_command("worker", queues="checks")
    process_lock.hold()


def test_one_copy_is_made_at_a_time_and_a_hub_may_run() -> None:
    process_lock.hold()
    with process_lock.one_copy_only():
        with (
            pytest.raises(process_lock.Busy, match="Wait until it is finished"),
            process_lock.one_copy_only(),
        ):
            pass
        process_lock.require_free()


def test_one_writes_to_a_folder_of_backups_wherever_its_data_are(tmp_path: Path) -> None:
    with process_lock.writing(tmp_path) as is_alone:
        assert is_alone
        with (
            pytest.raises(process_lock.Busy, match="in this folder"),
            process_lock.writing(tmp_path),
        ):
            pass
        with (
            pytest.raises(process_lock.Busy, match="Wait until it is finished"),
            process_lock.reading(tmp_path),
        ):
            pass
    with (
        process_lock.reading(tmp_path),
        process_lock.reading(tmp_path),
        pytest.raises(process_lock.Busy, match="in this folder"),
        process_lock.writing(tmp_path),
    ):
        pass


def test_a_copy_of_a_folder_of_backups_is_read_without_a_lock(tmp_path: Path) -> None:
    with process_lock.reading(tmp_path):
        pass
    assert not (tmp_path / "lock").exists()


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_none(_handle: int, _kind: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr("hub.operations.process_lock.fcntl.flock", has_none)
    with process_lock.writing(tmp_path) as is_alone:
        assert not is_alone
    with process_lock.reading(tmp_path):
        pass


@pytest.mark.django_db
def test_workers_of_other_machines_count() -> None:
    now = timezone.now()
    worker = Worker.objects.create(
        name="gpu-box:4711", queues=["render"], facts={}, started_at=now, seen_at=now
    )
    with pytest.raises(process_lock.Busy, match="gpu-box:4711"):
        process_lock.require_no_workers()
    worker.delete()
    process_lock.require_no_workers()
