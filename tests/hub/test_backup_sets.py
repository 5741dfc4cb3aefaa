"""Which set of a folder of backups is the newest complete one."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from hub.operations import backup, backup_sets, upgrade
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="tests/services has PostgreSQL"),
]


def listed(folder: Path) -> list[str]:
    out = StringIO()
    call_command("restore", "--from", str(folder), "--list", stdout=out)
    return out.getvalue().splitlines()


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
    assert listed(tmp_path)[-1].endswith("rows only")
    assert backup.last_complete() is not None


def test_the_check_of_an_update_says_why_rows_do_not_count(tmp_path: Path) -> None:
    blob_of(b"in a folder")
    backup.make(tmp_path, with_files=False)
    *_others, found = upgrade.check(tmp_path)
    assert (found.part, found.state) == ("backup", "error")
    assert "Sets of rows alone count only if" in found.message


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
