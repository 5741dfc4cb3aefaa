"""Which set of a folder of backups is the newest complete one."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from hub.operations import backup, backup_sets, upgrade
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="tests/services has PostgreSQL"),
]


def listed(folder: Path) -> list[str]:
    out = StringIO()
    call_command("restore", "--from", str(folder), "--list", stdout=out)
    return out.getvalue().splitlines()


def errors_of(folder: Path) -> list[str]:
    """Return the errors of all commands that look for sets in a folder."""
    found = []
    for words in (["--list"], ["--list", "--json"], []):
        with pytest.raises(CommandError) as refused:
            call_command("restore", "--from", str(folder), *words, stdout=StringIO())
        found.append(str(refused.value))
    *_others, check = upgrade.check(folder)
    assert (check.part, check.state) == ("backup", "error")
    return [*found, check.message]


@contextmanager
def without_rights_of_root() -> Iterator[None]:
    """Let this process read only what everybody can read."""
    user = os.geteuid()
    if not user:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def change(folder: Path, name: str, **facts: Any) -> None:
    """Change a manifest; facts that are None are removed."""
    file = folder / "sets" / name / "manifest.json"
    after = json.loads(file.read_text()) | facts
    file.write_text(json.dumps({key: fact for key, fact in after.items() if fact is not None}))


def of_earlier_release(folder: Path, name: str) -> None:
    change(folder, name, is_in_bucket=None)


def unchanged(_folder: Path, _name: str) -> None:
    """Leave the manifest as it is."""


@pytest.mark.parametrize("spoil", [unchanged, of_earlier_release])
def test_rows_without_a_bucket_do_not_replace_a_set_with_files(
    tmp_path: Path, spoil: Callable[[Path, str], None]
) -> None:
    blob_of(b"in a folder")
    full = backup.make(tmp_path).name
    for _ in range(2):
        spoil(tmp_path, backup.make(tmp_path, with_files=False).name)
    assert backup_sets.chosen(tmp_path).name == full
    assert listed(tmp_path)[-1].endswith("rows only  incomplete: 1 file not saved")
    backup_sets.prune(tmp_path, 1)
    assert [one.name for one in backup_sets.sets(tmp_path) if one.is_whole] == [full]
    _plan, *_others, found = upgrade.check(tmp_path)
    assert (found.part, found.state) == ("backup", "ok")


def test_rows_are_complete_while_a_bucket_has_the_files(
    tmp_path: Path, own_settings: Callable[..., None]
) -> None:
    blob_of(b"in a bucket")
    backup.make(tmp_path)
    own_settings(storage="s3://hub?endpoint=http://127.0.0.1:1")
    made = backup.make(tmp_path, with_files=False).name
    assert backup_sets.chosen(tmp_path).name == made
    assert listed(tmp_path)[-1].endswith("rows only  complete")
    assert backup.last_complete() is not None


def test_the_check_of_an_update_says_why_rows_do_not_count(tmp_path: Path) -> None:
    blob_of(b"in a folder")
    backup.make(tmp_path, with_files=False)
    *_others, found = upgrade.check(tmp_path)
    assert (found.part, found.state) == ("backup", "error")
    assert "Sets with only the database count only if" in found.message


def test_a_renamed_set_is_as_old_as_it_was(tmp_path: Path) -> None:
    before = timezone.now() - timedelta(days=400)
    old = backup.make(tmp_path).name
    change(tmp_path, old, made_at=before.isoformat())
    (tmp_path / "sets" / old).rename(tmp_path / "sets" / "before-2.0")
    new = backup.make(tmp_path).name
    assert [line.split("  ")[:2] for line in listed(tmp_path)] == [
        ["before-2.0", "400 days old"],
        [new, "0.0 hours old"],
    ]
    assert backup_sets.chosen(tmp_path).name == new
    *_others, found = upgrade.check(tmp_path)
    assert "0.0 hours old" in found.message
    backup_sets.prune(tmp_path, 1)
    assert [one.name for one in backup_sets.sets(tmp_path)] == [new]


def test_the_manifest_has_the_migrations_of_the_release(tmp_path: Path) -> None:
    made = backup.make(tmp_path).name
    manifest = json.loads((tmp_path / "sets" / made / "manifest.json").read_text())
    known = MigrationLoader(None).disk_migrations
    assert {tuple(name.split(".")) for name in manifest["migrations"]} == set(known)
    assert manifest["migrations"] == sorted(manifest["migrations"])


NEWER = ["registry.0001_initial", "registry.9998_later", "registry.9999_last"]


def test_a_set_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    change(tmp_path, backup.make(tmp_path).name, migrations=NEWER, release="9.1")
    refused = r"newer release \(9\.1\).* 2 migrations; the last is registry\.9999_last\. Nothing"
    with pytest.raises(CommandError, match=refused):
        call_command("restore", "--from", str(tmp_path))
    with pytest.raises(CommandError, match="has tables already"):
        call_command("restore", "--from", str(tmp_path), "--newer-anyway")


@pytest.mark.parametrize(
    "names",
    [
        None,  # of a release without the list
        ["registry.0000_replaced_since", "registry.0001_initial"],
        ["removed.9999_last"],
    ],
)
def test_a_set_of_an_older_release_is_taken(tmp_path: Path, names: list[str] | None) -> None:
    change(tmp_path, backup.make(tmp_path).name, migrations=names, release="0.0.1")
    with pytest.raises(CommandError, match="has tables already"):
        call_command("restore", "--from", str(tmp_path))


def test_a_release_takes_the_sets_that_it_made_after_going_back(tmp_path: Path) -> None:
    newer = ("registry", "9999_of_the_newer_release")
    MigrationRecorder(connection).record_applied(*newer)
    backup.make(tmp_path)
    MigrationRecorder(connection).record_unapplied(*newer)
    with pytest.raises(CommandError, match="has tables already"):
        call_command("restore", "--from", str(tmp_path))


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 1}'])
def test_a_manifest_without_its_values_is_damaged(tmp_path: Path, text: str) -> None:
    made = backup.make(tmp_path).name
    file = tmp_path / "sets" / made / "manifest.json"
    file.write_text(text)
    (line,) = listed(tmp_path)
    assert line.endswith("damaged")
    with pytest.raises(CommandError, match=f"{file} is damaged"):
        call_command("restore", "--from", str(tmp_path), "--set", made)
    out = StringIO()
    with pytest.raises(SystemExit, match="3"):
        call_command("backup", "--to", str(tmp_path), "--keep", "2", "--json", stdout=out)
    assert f"{file} is damaged" in json.loads(out.getvalue())["not_pruned"]


def test_a_time_without_a_zone_is_damaged(tmp_path: Path) -> None:
    change(tmp_path, backup.make(tmp_path).name, made_at="2026-11-26T04:50:00")
    backup.make(tmp_path)
    assert [one.is_readable for one in backup_sets.sets(tmp_path)] == [False, True]


def test_times_in_the_list_are_in_iso_format(tmp_path: Path) -> None:
    made = backup.make(tmp_path).name
    out = StringIO()
    call_command("restore", "--from", str(tmp_path), "--list", "--json", stdout=out)
    (found,) = json.loads(out.getvalue())
    manifest = json.loads((tmp_path / "sets" / made / "manifest.json").read_text())
    assert found["made_at"] == manifest["made_at"]


def test_a_folder_that_is_missing_is_no_folder_without_sets(tmp_path: Path) -> None:
    said = f"Cannot use {tmp_path}/missing: No such file or directory."
    assert errors_of(tmp_path / "missing") == [said] * 4


@pytest.mark.parametrize("part", ["", "sets", "sets/{}", "sets/{}/manifest.json"])
def test_what_cannot_be_read_is_named(part: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "backup"
        made = backup.make(folder).name
        hidden = folder / part.format(made)
        for path in (folder.parent, folder, folder / "sets", folder / "sets" / made):
            path.chmod(0o755)
        hidden.chmod(0)
        with without_rights_of_root(), pytest.raises(CommandError) as refused:
            listed(folder)
        hidden.chmod(0o700)
    named = hidden / "manifest.json" if part == "sets/{}" else hidden
    assert str(refused.value) == f"Cannot use {named}: Permission denied."


def test_an_empty_folder_is_said_to_have_no_backups(tmp_path: Path) -> None:
    (tmp_path / "sets" / "unfinished").mkdir(parents=True)
    (tmp_path / "sets" / "file").touch()
    said = f"There are no backups in {tmp_path}."
    assert listed(tmp_path) == [said]
    out = StringIO()
    call_command("restore", "--from", str(tmp_path), "--list", "--json", stdout=out)
    assert json.loads(out.getvalue()) == []
    with pytest.raises(CommandError, match=said):
        call_command("restore", "--from", str(tmp_path))
    *_others, found = upgrade.check(tmp_path)
    assert (found.state, found.message) == ("error", said)
