"""What a backup that fails says, leaves behind and records."""

from __future__ import annotations

import errno
import json
import resource
import shutil
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from hub.operations import backup, backup_sets, database_dumps, doctor, probes, process_lock
from registry import events, storage
from registry.models import Blob, Event
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="tests/services has PostgreSQL"),
]


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let this process write no file beyond a size, as on a disk without room.

    The write-ahead log of the hub's database is truncated first, because it may be larger already.
    """
    with connection.cursor() as rows:
        rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def failure_of(folder: Path, *arguments: str) -> str:
    """Return the error of a backup, which it also writes as JSON."""
    out = StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("backup", "--to", str(folder), "--json", *arguments, stdout=out)
    assert json.loads(out.getvalue()) == {"ok": False, "error": str(refused.value)}
    return str(refused.value)


@contextmanager
def connection_to(file: Path) -> Iterator[None]:
    """Let the hub use another, empty database."""
    connection.close()
    before = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = str(file)
    file.parent.mkdir()
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


def recorded() -> str:
    """Return the reason in the event of the only backup that failed."""
    return str(Event.objects.get(verb="backup_failed").facts["reason"])


def gauge() -> bool:
    facts: dict[str, Any] = {}
    probes.count_contents(facts)
    return bool(facts["has_backup_failed"])


def test_no_room_for_a_file_names_the_folder(tmp_path: Path) -> None:
    blob_of(bytes(2**20))
    with files_up_to(2**18):
        said = failure_of(tmp_path / "backup")
    assert said == f"Cannot use {tmp_path}/backup: File too large."
    assert not (tmp_path / "backup" / "sets").exists()
    assert recorded() == said


def test_no_room_for_the_rows_names_the_folder_and_leaves_no_set(tmp_path: Path) -> None:
    blob_of(b"small")
    with files_up_to(2**18):
        said = failure_of(tmp_path / "backup")
    assert said.startswith(f"The database cannot be copied to {tmp_path}/backup/sets/")
    assert list((tmp_path / "backup" / "sets").iterdir()) == []
    assert recorded() == said


def under_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


def of_another_hub(folder: Path) -> None:
    (folder / "hub").write_text("another")


@pytest.mark.parametrize(
    ("spoil", "reason"), [(under_a_file, "Not a directory"), (of_another_hub, "another hub")]
)
def test_a_failure_is_known_until_a_backup_succeeds(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    folder, kept = tmp_path / "backup", tmp_path / "kept"
    backup.make(folder)
    shutil.copytree(folder, kept)
    spoil(folder)
    said = failure_of(folder)
    assert reason in said
    event = Event.objects.get(verb="backup_failed")
    assert event.facts == {"folder": str(folder), "reason": said}
    failed, age = doctor.PROBES["backup"]()
    assert (failed.state, age.state, gauge()) == ("warning", "ok", True)
    assert f"failed 0.0 hours ago ({folder}): " in failed.message
    assert reason in failed.message
    shutil.rmtree(folder, ignore_errors=True)
    folder.unlink(missing_ok=True)
    kept.rename(folder)
    backup.make(folder)
    (age,) = doctor.PROBES["backup"]()
    assert (age.state, gauge()) == ("ok", False)


def attempt(folder: str, *, hours: float, fails: bool = False, **facts: Any) -> None:
    """Record a backup of some hours ago."""
    Event.objects.create(
        verb="backup_failed" if fails else "backup_made",
        created_at=timezone.now() - timedelta(hours=hours),
        facts={"folder": folder, **({"reason": "full"} if fails else {}), **facts},
    )


def test_a_failure_in_one_folder_is_not_ended_by_a_backup_to_another() -> None:
    attempt("/far", hours=50)
    attempt("/far", hours=25, fails=True)
    attempt("/near", hours=24)
    attempt("/near", hours=1, lacking=2)
    attempt("/near", hours=0)
    assert "(/far): full" in backup.last_failure()
    attempt("/far", hours=0)
    assert not gauge()


def test_rows_without_a_bucket_end_no_failure(tmp_path: Path) -> None:
    blob_of(b"in a folder")
    attempt(str(tmp_path), hours=50)
    attempt(str(tmp_path), hours=30, fails=True)
    backup.make(tmp_path, with_files=False)
    assert gauge()
    backup.make(tmp_path)
    assert not gauge()


def test_a_failure_in_a_folder_that_was_replaced_ends_after_a_day() -> None:
    attempt("/old disk", hours=60)
    attempt("/old disk", hours=30, fails=True)
    assert gauge()  # the last attempt of all
    attempt("/new disk", hours=3)
    assert not gauge()


def test_a_new_folder_of_the_timer_has_failed_the_second_time() -> None:
    attempt("/old", hours=30)
    attempt("/new", hours=25, fails=True)
    assert not gauge()  # a person may have mistyped it
    attempt("/new", hours=1, fails=True)
    assert "(/new): full" in backup.last_failure()
    attempt("/old", hours=0)
    assert not gauge()


def test_sets_from_before_a_restore_do_not_hide_a_failure() -> None:
    attempt("/old", hours=30)
    events.record(actor=None, verb="backup_restored", subject="its last one")
    attempt("/new", hours=1, fails=True)
    assert gauge()


def test_a_failure_of_rows_alone_is_not_kept_where_their_success_ends_nothing(
    tmp_path: Path, own_settings: Callable[..., None]
) -> None:
    blob_of(b"in a folder")
    (tmp_path / "full").touch()
    failure_of(tmp_path / "full", "--rows-only")
    assert not gauge()
    own_settings(storage="s3://hub?endpoint=http://127.0.0.1:1")
    failure_of(tmp_path / "full", "--rows-only")
    assert gauge()
    (tmp_path / "full").unlink()
    backup.make(tmp_path / "full", with_files=False)
    assert not gauge()


def test_a_mistyped_folder_has_not_failed_unless_no_other_has_a_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failure_of(tmp_path / "file")
    assert gauge()  # the first backup of a hub
    backup.make(tmp_path / "backup")
    failure_of(tmp_path / "file")
    assert not gauge()


def test_a_backup_that_cannot_remove_old_ones_has_not_failed(tmp_path: Path) -> None:
    backup.make(tmp_path)
    (tmp_path / "sets" / "notes").touch()  # no folder, so it is not removed like one
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("backup", "--to", str(tmp_path), "--keep", "1", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (ended.value.code, told["ok"], told["files"]["failed"]) == (3, False, {})
    assert told["not_pruned"] == f"Cannot use {tmp_path}/sets/notes: Not a directory."
    assert not backup.last_failure()
    assert Event.objects.filter(verb="backup_made").count() == 2


def test_what_cannot_be_deleted_does_not_stop_the_rest(tmp_path: Path) -> None:
    gone = blob_of(b"withdrawn since")
    backup.make(tmp_path)
    Blob.objects.filter(pk=gone.pk).update(is_stored=False)
    (tmp_path / "sets" / "0").touch()  # comes first, and is no folder
    out = StringIO()
    with pytest.raises(SystemExit, match="3"):
        call_command("backup", "--to", str(tmp_path), "--keep", "1", stdout=out)
    said = out.getvalue()
    assert "1 file removed" in said
    assert f"Not all old data was removed: Cannot use {tmp_path}/sets/0: Not a directory." in said
    assert len(backup_sets.sets(tmp_path)) == 1


def test_a_set_that_cannot_be_deleted_keeps_its_files(tmp_path: Path) -> None:
    kept = blob_of(b"withdrawn since")
    place = tmp_path / "sets" / backup.make(tmp_path).name
    Blob.objects.filter(pk=kept.pk).update(is_stored=False)
    place.rename(tmp_path / "kept")
    place.symlink_to(tmp_path / "kept")  # the command does not delete through links
    backup.make(tmp_path)
    count, failed = backup_sets.prune(tmp_path, 1)
    assert (count, failed is None) == (0, False)
    assert len(list((tmp_path / "files").rglob(kept.sha256))) == 1


def test_a_set_that_lacks_files_has_failed(tmp_path: Path) -> None:
    storage.store().delete(blob_of(b"lost").sha256)
    backup.make(tmp_path / "backup", with_files=False)
    assert not backup.last_failure()  # no files were wanted
    backup.make(tmp_path / "backup")
    assert "1 file could not be saved." in backup.last_failure()
    assert gauge()
    events.record(actor=None, verb="backup_restored", subject="a set from before")
    assert not gauge()


def test_a_backup_that_gives_way_to_another_or_is_called_wrongly_has_not_failed(
    tmp_path: Path,
) -> None:
    with process_lock.one_copy_only():
        failure_of(tmp_path / "backup")
    failure_of(tmp_path / "backup", "--prune-anyway")
    assert not backup.last_failure()


def test_a_failed_restore_names_what_could_not_be_written(
    tmp_path: Path, own_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    blob_of(bytes(2**20))
    backup.make(tmp_path / "backup")
    own_settings(storage=(tmp_path / "other").as_uri())
    monkeypatch.setattr("hub.operations.database_dumps.require_empty", lambda: None)
    place = f"file://{tmp_path}/other"
    with files_up_to(2**18), pytest.raises(CommandError, match=f"^Cannot use {place}: File too"):
        call_command("restore", "--from", str(tmp_path / "backup"))

    def cannot(_rows: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "/data/lorary.sqlite3")

    monkeypatch.setattr("hub.operations.database_dumps.restore", cannot)
    with pytest.raises(CommandError, match=r"^Cannot use /data/lorary.sqlite3: Read-only file sys"):
        call_command("restore", "--from", str(tmp_path / "backup"))


def test_a_backup_that_cannot_be_read_is_named_instead_of_the_store(tmp_path: Path) -> None:
    place = tmp_path / "sets" / backup.make(tmp_path).name
    rows = place / "rows.sqlite3"
    rows.unlink()
    rows.symlink_to("/proc/self/mem")  # its first page cannot be read
    refused = f"^{rows} is damaged: Input/output error. Use another set.$"
    with pytest.raises(CommandError, match=refused):
        call_command("restore", "--from", str(tmp_path))
    (place / "blobs.txt").unlink()
    (place / "manifest.json").unlink()
    with pytest.raises(CommandError, match="There are no backups in"):
        call_command("restore", "--from", str(tmp_path))


def test_rows_without_room_name_the_database_and_leave_no_draft(tmp_path: Path) -> None:
    place = tmp_path / "sets" / backup.make(tmp_path).name
    target = tmp_path / "new" / "lorary.sqlite3"
    with (
        files_up_to(2**18),
        connection_to(target),
        pytest.raises(database_dumps.RowsRefused, match=f"copied to {target}: File too large"),
    ):
        database_dumps.restore(place / "rows.sqlite3")
    assert list(target.parent.glob(".*")) == []


@pytest.mark.parametrize("verb", ["copy", "move"])
def test_a_store_without_room_is_named(tmp_path: Path, verb: str) -> None:
    blob_of(bytes(2**20))
    target = (tmp_path / "other").as_uri()
    with files_up_to(2**18), pytest.raises(CommandError, match=f"^Cannot use {target}: File too"):
        call_command("storage", verb, "--to", target)
