"""Sets of backups: what is in them, what is kept, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any, TextIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

import lorary
from hub.operations import backup, backup_sets, database_dumps, doctor, probes, process_lock
from registry import storage
from registry.accounts import users
from registry.adapters import services as adapters
from registry.jobs import leases, queue
from registry.models import Adapter, Blob, Event, Job, Worker
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="tests/services has PostgreSQL"),
]


def keep(data: bytes) -> str:
    """Store a file that a row names."""
    return blob_of(data).sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def files_of(folder: Path) -> storage.LocalStore:
    return storage.LocalStore(folder / "files")


def digests(folder: Path) -> set[str]:
    return {entry.name for entry in files_of(folder).names()}


def names(folder: Path) -> list[str]:
    return [one.name for one in backup_sets.sets(folder)]


def damage(sha256: str) -> None:
    place = storage.store().link(sha256, storage.Fetch())
    assert not isinstance(place, str)
    assert place is not None
    place.write_bytes(bytes(place.stat().st_size))


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    with pytest.raises(SystemExit) as leaving:
        call_command(*arguments, stdout=out, stderr=StringIO())
    return int(leaving.value.code or 0), out.getvalue()


def test_a_set_has_rows_files_and_the_secret(
    folder: Path, own_settings: Callable[..., None]
) -> None:
    (settings.LORARY.data / "secret_key").write_text("s" * 50)
    own_settings(secret_key="s" * 50)
    first, second = keep(b"first"), keep(b"second")
    made = backup.make(folder)
    assert (made.blobs, made.bytes, made.is_whole) == (2, 11, True)
    assert (made.files.done, made.files.present) == (2, 0)
    place = folder / "sets" / made.name
    with closing(sqlite3.connect(place / "rows.sqlite3")) as rows:
        found = {sha256 for (sha256,) in rows.execute("SELECT sha256 FROM registry_blob")}
    assert found == digests(folder) == {first, second}
    assert (place / "blobs.txt").read_text() == f"{first} 5\n{second} 6\n"
    assert (place / "secret_key").read_text() == "s" * 50
    assert stat.S_IMODE((place / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert not list(place.glob(".*"))
    assert Event.objects.get(verb="backup_made").subject == made.name


def test_a_set_has_no_key_that_the_hub_does_not_use(
    folder: Path, own_settings: Callable[..., None]
) -> None:
    stored = settings.LORARY.data / "secret_key"
    stored.write_text("s" * 50)
    own_settings(secret_key="n" * 50)
    made = backup.make(folder)
    assert not (folder / "sets" / made.name / "secret_key").exists()


def test_the_next_set_brings_only_new_files(folder: Path) -> None:
    keep(b"first")
    one = backup.make(folder)
    keep(b"second")
    other = backup.make(folder)
    assert (other.files.done, other.files.present, other.blobs) == (1, 1, 2)
    assert names(folder) == [one.name, other.name]
    assert backup_sets.chosen(folder).name == other.name


def test_a_file_that_comes_while_files_are_copied_is_in_the_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(b"before")
    dump = database_dumps.dump
    late: list[str] = []

    def dump_after_another(target: Path, listing: TextIO) -> database_dumps.Listed:
        late.append(keep(b"meanwhile"))
        return dump(target, listing)

    monkeypatch.setattr(database_dumps, "dump", dump_after_another)
    made = backup.make(folder)
    assert (made.blobs, made.is_whole) == (2, True)
    assert late[0] in digests(folder)


def test_a_file_that_is_swept_after_the_rows_were_copied_is_in_the_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = keep(b"withdrawn")
    dump = database_dumps.dump

    def dump_before_a_sweep(target: Path, listing: TextIO) -> database_dumps.Listed:
        named = dump(target, listing)
        Blob.objects.filter(sha256=swept).update(is_stored=False)
        storage.store().delete(swept)
        return named

    monkeypatch.setattr(database_dumps, "dump", dump_before_a_sweep)
    made = backup.make(folder)
    assert (made.blobs, made.is_whole) == (1, True)
    assert digests(folder) == {swept}


def test_what_is_lost_already_is_named_and_the_rest_is_saved(folder: Path) -> None:
    lost, there = keep(b"lost"), keep(b"there")
    storage.store().delete(lost)
    code, said = run("backup", "--to", str(folder), "--json")
    document = json.loads(said)
    assert (code, document["ok"], document["files"]["missing"]) == (1, False, [lost])
    assert digests(folder) == {there}
    assert len(names(folder)) == 1


def test_old_sets_go_with_what_only_they_named(folder: Path) -> None:
    gone, stays = keep(b"gone"), keep(b"stays")
    backup.make(folder)
    (folder / "sets" / "20200101T000000.000Z").mkdir()  # cut off, so without a manifest
    Blob.objects.filter(sha256=gone).update(is_stored=False)
    code, said = run("backup", "--to", str(folder), "--keep", "1", "--json")
    assert (code, json.loads(said)["pruned"]) == (0, 1)
    assert digests(folder) == {stays}
    assert len(list((folder / "sets").iterdir())) == 1


def test_sets_that_are_not_whole_push_out_no_whole_one(folder: Path) -> None:
    kept = keep(b"kept")
    whole = [backup.make(folder).name, backup.make(folder).name]
    storage.store().delete(keep(b"lost"))
    for _ in range(4):
        code, said = run("backup", "--to", str(folder), "--keep", "2")
        assert (code, "1 file missing" in said) == (1, True)
    assert len(names(folder)) == 4
    assert names(folder)[:2] == whole
    assert digests(folder) == {kept}
    Blob.objects.filter(is_stored=True).exclude(sha256=kept).update(is_stored=False)
    for _ in range(2):
        assert run("backup", "--to", str(folder), "--keep", "2")[0] == 0
    assert [one.is_whole for one in backup_sets.sets(folder)] == [True, True]


def test_a_hub_that_lost_most_of_its_files_pushes_out_nothing(folder: Path) -> None:
    full = {keep(bytes([number])) for number in range(15)}
    backup.make(folder)
    Blob.objects.filter(sha256__in=list(full)[:8]).update(is_stored=False)
    for _ in range(3):
        code, said = run("backup", "--to", str(folder), "--keep", "1")
        assert code == 3
        assert "the newest set contains 7 files" in said
        assert "--prune-anyway" in said
    assert (len(names(folder)), digests(folder)) == (4, full)
    document = json.loads(run("backup", "--to", str(folder), "--keep", "1", "--json")[1])
    assert (document["ok"], document["pruned"]) == (False, 0)
    assert "an earlier one 15" in document["not_pruned"]
    code, said = run("backup", "--to", str(folder), "--keep", "2", "--prune-anyway")
    assert (code, "8 files removed" in said) == (0, True)
    assert len(names(folder)) == 2


def test_what_was_said_to_be_right_need_not_be_said_again(folder: Path) -> None:
    for number in range(15):
        keep(bytes([number]))
    backup.make(folder)
    Blob.objects.update(is_stored=False)
    keep(b"new")
    assert run("backup", "--to", str(folder), "--keep", "3", "--prune-anyway")[0] == 0
    assert run("backup", "--to", str(folder), "--keep", "3")[0] == 0
    assert len(names(folder)) == 3  # the full one among them


@pytest.mark.parametrize(("before", "after"), [(5, 0), (14, 7), (11, 6)])
def test_files_that_go_now_and_then_are_no_loss(folder: Path, before: int, after: int) -> None:
    kept = [keep(bytes([number])) for number in range(before)]
    backup.make(folder)
    Blob.objects.filter(sha256__in=kept[after:]).update(is_stored=False)
    assert run("backup", "--to", str(folder), "--keep", "1")[0] == 0
    assert len(digests(folder)) == after


def test_prune_anyway_goes_with_keep(folder: Path) -> None:
    with pytest.raises(CommandError, match="requires --keep"):
        call_command("backup", "--to", str(folder), "--prune-anyway")


def test_the_manifest_names_all_that_could_not_be_saved(folder: Path) -> None:
    lost, damaged = keep(b"lost"), keep(b"damaged")
    keep(b"there")
    storage.store().delete(lost)
    damage(damaged)
    code, _said = run("backup", "--to", str(folder), "--keep", "1")
    manifest = json.loads((folder / "sets" / names(folder)[0] / "manifest.json").read_text())
    assert (code, manifest["missing"], manifest["damaged"]) == (1, [lost], [damaged])
    assert manifest["failed"] == {}
    (found,) = backup_sets.sets(folder)
    assert (found.lacking, found.is_whole) == (2, False)


def test_the_list_says_which_sets_are_not_whole(folder: Path) -> None:
    keep(b"there")
    first = backup.make(folder).name
    damage(keep(b"damaged"))
    second = backup.make(folder).name
    third = backup.make(folder).name
    (folder / "sets" / third / "manifest.json").write_text("{")
    out = StringIO()
    call_command("restore", "--from", str(folder), "--list", stdout=out)
    facts, lacks = f"release {lorary.__version__}", "incomplete: 1 file could not be saved"
    assert out.getvalue().splitlines() == [
        f"{first}  0.0 hours old  1 file  5 bytes  {facts}  complete",
        f"{second}  0.0 hours old  2 files  12 bytes  {facts}  {lacks}",
        f"{third}  0.0 hours old  damaged",
    ]
    out = StringIO()
    call_command("restore", "--from", str(folder), "--list", "--json", stdout=out)
    told = [(one["name"], one["lacking"], one["is_whole"]) for one in json.loads(out.getvalue())]
    assert told == [(first, 0, True), (second, 1, False), (third, 0, False)]
    second_set = json.loads(out.getvalue())[1]
    assert (second_set["blobs"], second_set["bytes"]) == (2, 12)
    assert second_set["release"] == lorary.__version__
    assert datetime.fromisoformat(second_set["made_at"]) <= timezone.now()


def test_sets_of_earlier_releases_and_of_rows_alone_are_listed(folder: Path) -> None:
    made = backup.make(folder, with_files=False).name
    manifest = folder / "sets" / made / "manifest.json"
    facts = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({k: v for k, v in facts.items() if k != "release"}))
    out = StringIO()
    call_command("restore", "--from", str(folder), "--list", stdout=out)
    assert out.getvalue() == f"{made}  0.0 hours old  0 files  0 bytes  rows only  complete\n"


def test_restore_takes_the_newest_complete_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch, own_settings: Callable[..., None], tmp_path: Path
) -> None:
    keep(b"there")
    backup.make(folder)
    complete = backup.make(folder).name
    damage(keep(b"damaged"))
    lacking = backup.make(folder).name
    broken = backup.make(folder).name
    (folder / "sets" / broken / "manifest.json").write_text("{")
    own_settings(storage=(tmp_path / "other").as_uri())
    monkeypatch.setattr(database_dumps, "require_empty", lambda: None)
    monkeypatch.setattr(database_dumps, "restore", lambda _rows: None)
    code, said = run("restore", "--from", str(folder))
    assert (code, said.startswith(f"{complete} is restored")) == (0, True)
    assert f"The newer {lacking} is incomplete: 1 file could not be saved. It was skipped" in said
    assert f"The newer {broken} is damaged. It was skipped" in said
    code, said = run("restore", "--from", str(folder), "--json")
    assert (code, json.loads(said)["skipped"]) == (0, [lacking, broken])
    code, said = run("restore", "--from", str(folder), "--set", lacking, "--json")
    told = json.loads(said)
    assert (code, told["name"], told["lacking"], told["skipped"]) == (1, lacking, 1, [])


def test_restore_says_that_the_set_it_took_was_not_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, own_settings: Callable[..., None], tmp_path: Path
) -> None:
    damage(keep(b"damaged"))
    backup.make(folder)
    own_settings(storage=(tmp_path / "other").as_uri())
    monkeypatch.setattr(database_dumps, "require_empty", lambda: None)
    monkeypatch.setattr(database_dumps, "restore", lambda _rows: None)
    code, said = run("restore", "--from", str(folder))
    assert (code, "incomplete: 1 file could not be saved" in said) == (1, True)
    assert "1 file not in this backup; restore them from a backup" in said
    assert Event.objects.get(verb="backup_restored").facts == {"folder": str(folder)}


def test_processes_of_the_old_hub_are_not_restored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Worker.objects.create(name="old:1", queues=["checks"], seen_at=timezone.now())
    job = queue.enqueue(queue="checks", task="check", args={}, key="k")
    soon = timezone.now() + timedelta(seconds=30)
    Job.objects.update(state="running", worker="old:1", attempt=1, lease_until=soon)
    with leases.holding("search rebuild"):
        backup.make(folder)
        monkeypatch.setattr(database_dumps, "require_empty", lambda: None)
        monkeypatch.setattr(database_dumps, "restore", lambda _rows: None)
        backup.restore(folder, names(folder)[0])
        assert not leases.is_held("search rebuild")
    (found,) = doctor.PROBES["workers"]()
    assert "Workers seen recently: none." in found.message
    job.refresh_from_db()
    assert (job.state, job.worker, job.attempt, job.lease_until) == ("queued", "", 0, None)


def test_nothing_is_removed_while_a_set_no_longer_says_what_it_names(folder: Path) -> None:
    gone = keep(b"gone")
    first = backup.make(folder).name
    cut(folder / "sets" / first)
    Blob.objects.filter(sha256=gone).update(is_stored=False)
    code, said = run("backup", "--to", str(folder), "--keep", "2")
    assert (code, "Not all old data" in said, "damaged" in said) == (3, True, True)
    assert digests(folder) == {gone}


def test_rows_alone(folder: Path) -> None:
    keep(b"in a bucket that is kept safe by itself")
    code, _said = run("backup", "--to", str(folder), "--rows-only")
    assert (code, digests(folder), len(names(folder))) == (0, set(), 1)
    assert Event.objects.get(verb="backup_made").facts["rows_only"]
    assert backup.last_complete() is None  # no bucket has these files


def test_the_hub_knows_when_its_last_complete_set_was_made(folder: Path) -> None:
    assert backup.last_complete() is None
    sha256 = keep(b"first")
    backup.make(folder)
    made = backup.last_complete()
    assert made is not None
    shutil.rmtree(folder)
    damage(sha256)
    assert not backup.make(folder).is_whole
    assert backup.last_complete() == made
    facts: dict[str, Any] = {}
    probes.count_contents(facts)
    assert facts["last_backup"] == made


@pytest.mark.parametrize(("hours", "state"), [(25, "ok"), (27, "warning")])
def test_the_doctor_warns_of_an_old_backup(hours: int, state: str) -> None:
    adapters.create(actor=users.create_user(name="ada"), name="noir")
    (none,) = doctor.PROBES["backup"]()
    assert (none.state, "no complete backup" in none.message) == ("ok", True)
    Adapter.objects.update(created_at=timezone.now() - timedelta(hours=hours))
    (none,) = doctor.PROBES["backup"]()
    assert (none.state, "lorary-backup" in none.hint) == (state, state == "warning")
    made_at = timezone.now() - timedelta(hours=hours)
    Event.objects.create(verb="backup_made", created_at=made_at)
    (report,) = doctor.PROBES["backup"]()
    assert report.state == state
    assert f"{hours}.0 hours old" in report.message
    assert ("lorary-backup" in report.hint) == (state == "warning")


def test_a_backup_that_saves_nothing_says_so_in_json(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = StringIO()
    with pytest.raises(CommandError, match="Cannot use"):
        call_command("backup", "--to", str(tmp_path / "file" / "x"), "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert told["ok"] is False
    assert "Cannot use" in told["error"]


def test_backup_names_a_folder_that_cannot_be_made() -> None:
    with pytest.raises(CommandError, match=r"^Cannot use /proc/nope: No such file or directory\.$"):
        call_command("backup", "--to", "/proc/nope")


def test_backup_prints_its_folder_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"Z in {tmp_path}/there: " in run("backup", "--to", "there")[1]


@pytest.mark.parametrize("arguments", [["--keep", "0"], ["--keep", "-1"]])
def test_backup_refuses_to_keep_nothing(folder: Path, arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="at least 1"):
        call_command("backup", "--to", str(folder), *arguments)


def test_backups_are_made_one_at_a_time(folder: Path) -> None:
    with (
        process_lock.one_copy_only(),
        pytest.raises(CommandError, match="Wait until it is finished"),
    ):
        call_command("backup", "--to", str(folder))


def test_backups_of_other_machines_are_waited_for(folder: Path) -> None:
    made = backup.make(folder).name
    half = folder / "sets" / "20990101T000000.000Z"
    half.mkdir()  # the other machine is just making it
    with process_lock.writing(folder), pytest.raises(CommandError, match="in this folder"):
        call_command("backup", "--to", str(folder), "--keep", "1")
    assert half.exists()
    with process_lock.writing(folder), pytest.raises(CommandError, match="being made there"):
        call_command("restore", "--from", str(folder))
    with process_lock.reading(folder), pytest.raises(CommandError, match="in this folder"):
        call_command("backup", "--to", str(folder))
    assert names(folder) == [made]


def test_restore_lists_the_sets(folder: Path) -> None:
    made = [backup.make(folder).name, backup.make(folder).name]
    out = StringIO()
    call_command("restore", "--from", str(folder), "--list", stdout=out)
    assert [line.split()[0] for line in out.getvalue().splitlines()] == made


def test_restore_refuses_a_database_that_has_tables(folder: Path) -> None:
    backup.make(folder)
    with pytest.raises(CommandError, match="has tables already"):
        call_command("restore", "--from", str(folder))


def flip(place: Path) -> None:
    rows = place / "rows.sqlite3"
    data = bytearray(rows.read_bytes())
    data[5000] ^= 1
    rows.write_bytes(data)


def cut(place: Path) -> None:
    (place / "blobs.txt").write_text("")


def of_the_future(place: Path) -> None:
    change(place, format=2)


def of_another_database(place: Path) -> None:
    change(place, rows="rows.dump")


def without_manifest(place: Path) -> None:
    (place / "manifest.json").unlink()


def change(place: Path, **facts: Any) -> None:
    file = place / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | facts))


@pytest.mark.parametrize(
    ("harm", "refusal"),
    [
        (flip, "damaged"),
        (cut, "damaged"),
        (of_the_future, "format 2"),
        (of_another_database, "different kind"),
        (without_manifest, "no backups in"),
    ],
)
def test_restore_refuses_a_set_that_is_not_what_was_written(
    folder: Path, harm: Callable[[Path], None], refusal: str
) -> None:
    keep(b"named")
    made = backup.make(folder)
    harm(folder / "sets" / made.name)
    with pytest.raises(CommandError, match=refusal):
        call_command("restore", "--from", str(folder), "--set", made.name)


def test_files_are_there_before_the_rows_that_name_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, own_settings: Callable[..., None], tmp_path: Path
) -> None:
    sha256 = keep(b"named")
    made = backup.make(folder)
    own_settings(storage=(tmp_path / "other").as_uri())

    def cut_off(_source: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(database_dumps, "require_empty", lambda: None)
    monkeypatch.setattr(database_dumps, "restore", cut_off)
    with pytest.raises(KeyboardInterrupt):
        backup.restore(folder, made.name)
    with storage.store().open(sha256) as handle:
        assert handle.read() == b"named"


def test_restore_refuses_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There are no backups in"):
        call_command("restore", "--from", str(tmp_path))


def test_a_copy_of_the_rows_is_one_sound_file(tmp_path: Path) -> None:
    sha256 = keep(b"named")
    listing = io.StringIO()
    assert database_dumps.dump(tmp_path / "rows.sqlite3", listing) == (1, 5)
    assert listing.getvalue() == f"{sha256} 5\n"
    assert [file.name for file in tmp_path.glob("rows*")] == ["rows.sqlite3"]
