"""Folders of backups belong to one hub, which a restore carries on."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection

from hub.operations import backup
from registry.models import Blob, Hub
from tests.hub.test_backups import digests, keep, names, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="tests/services has PostgreSQL"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def become_another() -> None:
    """Be the hub that a wrong LORARY_DATA makes: it knows nothing."""
    Blob.objects.all().delete()
    Hub.objects.all().delete()


def without_identity(folder: Path) -> None:
    """Be a folder that was made before hubs had one."""
    (folder / "hub").unlink()


def refused(folder: Path, *arguments: str) -> str:
    before = changed(folder)
    with pytest.raises(CommandError) as refusal:
        call_command("backup", "--to", str(folder), *arguments)
    assert changed(folder) == before
    return str(refusal.value)


def changed(folder: Path) -> dict[Path, int]:
    """Say when each file changed last; the lock is no content."""
    files = {path for path in folder.rglob("*") if path.is_file()} - {folder / "lock"}
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_hub_is_one_and_stays_itself() -> None:
    assert backup.own_identity() == backup.own_identity() == Hub.objects.get().identity.hex
    with pytest.raises(IntegrityError, match="hub_is_one"):
        Hub.objects.create(pk=2)


def test_the_folder_the_set_and_its_rows_say_whose_they_are(folder: Path) -> None:
    made = backup.make(folder)
    place = folder / "sets" / made.name
    assert backup.owner_of(folder) == backup.own_identity()
    assert json.loads((place / "manifest.json").read_text())["hub"] == backup.own_identity()
    with closing(sqlite3.connect(place / "rows.sqlite3")) as rows:
        assert rows.execute("SELECT identity FROM registry_hub").fetchall() == [
            (backup.own_identity(),)
        ]


@pytest.mark.parametrize("arguments", [[], ["--keep", "1"], ["--rows-only", "--keep", "1"]])
def test_another_hub_is_refused_and_changes_nothing(folder: Path, arguments: list[str]) -> None:
    sha256 = keep(b"of the first hub")
    backup.make(folder)
    become_another()
    said = refused(folder, *arguments)
    assert "backups of another hub" in said
    assert "--adopt" in said
    assert digests(folder) == {sha256}


def test_a_folder_can_be_taken_over(folder: Path) -> None:
    backup.make(folder)
    become_another()
    with pytest.raises(CommandError, match="--adopt and --keep cannot be combined"):
        call_command("backup", "--to", str(folder), "--adopt", "--keep", "1")
    assert run("backup", "--to", str(folder), "--adopt")[0] == 0
    assert run("backup", "--to", str(folder), "--keep", "5")[0] == 0
    assert backup.owner_of(folder) == backup.own_identity()
    assert len(names(folder)) == 3


def test_a_folder_of_before_is_its_hubs_whatever_was_swept_since(folder: Path) -> None:
    Blob.objects.filter(sha256=keep(b"gone since")).update(is_stored=False)
    keep(b"here")
    backup.make(folder)
    without_identity(folder)
    keep(b"new")
    assert run("backup", "--to", str(folder), "--keep", "1")[0] == 0
    assert backup.owner_of(folder) == backup.own_identity()


def test_a_folder_of_before_is_no_hubs_that_lacks_a_file_of_any_set(folder: Path) -> None:
    keep(b"only in the older set")
    backup.make(folder)
    Blob.objects.all().delete()
    backup.make(folder)
    without_identity(folder)
    assert "with 1 file that this hub does not know" in refused(folder, "--keep", "1")
    assert run("backup", "--to", str(folder), "--adopt")[0] == 0


def test_a_database_without_tables_is_told_as_such(folder: Path) -> None:
    with connection.schema_editor() as editor:
        editor.delete_model(Hub)
    try:
        assert "Is it this hub's database? Run `manage.py migrate`" in refused(folder)
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(Hub)
