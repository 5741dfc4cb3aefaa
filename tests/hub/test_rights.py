"""What other accounts of a machine get to see of a hub: nothing."""

from __future__ import annotations

import io
import json
import stat
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from hub.config import prepare
from hub.databases import prepare_file
from hub.operations import database_dumps
from hub.operations.doctor import PROBES
from hub.operations.exposed_files import exposed
from registry import storage
from tests.hub.test_backups import keep, run
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def closed_rows(db: None) -> None:
    """Have the rows as those of a hub are; the runner of tests makes them for all."""
    if connection.vendor == "sqlite":
        Path(connection.settings_dict["NAME"]).chmod(0o600)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_made_for_owner_and_group(tmp_path: Path) -> None:
    data = tmp_path / "above" / "data"
    prepare(data)
    storage.store_at((data / "files").as_uri()).write("a" * 32, [b"bytes"])
    assert {mode(data / part) for part in ("", "files", "broker")} == {0o750}


def test_what_is_there_keeps_its_mode(tmp_path: Path) -> None:
    data, file = tmp_path / "own", tmp_path / "rows.sqlite3"
    for folder in (data, data / "files"):
        folder.mkdir()
        folder.chmod(0o755)
    file.touch(mode=0o644)
    prepare(data)
    prepare_file({"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)})
    storage.store_at((data / "files").as_uri()).write("a" * 32, [b"bytes"])
    assert (mode(data), mode(data / "files"), mode(file)) == (0o755, 0o755, 0o644)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the rows are no file of the hub's")
def test_rows_are_the_owners_in_a_hub_and_after_a_restore(tmp_path: Path) -> None:
    hub, anew = RunningHub(tmp_path / "hub"), RunningHub(tmp_path / "anew")
    hub.migrate()
    hub.manage("backup", "--to", str(tmp_path / "backup"))
    anew.manage("restore", "--from", str(tmp_path / "backup"))
    assert {mode(one.data / "lorary.sqlite3") for one in (hub, anew)} == {0o600}
    assert "ok      rights" in anew.manage("doctor")


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="tests/services has PostgreSQL")
def test_backups_are_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    keep(b"weights")
    assert run("backup", "--to", str(folder))[0] == 0
    assert (mode(folder), mode(folder / "files")) == (0o750, 0o750)
    (rows,) = folder.glob("sets/*/rows.sqlite3")
    assert mode(rows) == 0o600


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="tests/services has PostgreSQL")
def test_a_folder_of_backups_that_is_open_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    folder.mkdir()
    for said, told in ((0o755, True), (0o750, False)):
        folder.chmod(said)
        err = StringIO()
        with pytest.raises(SystemExit):
            call_command("backup", "--to", str(folder), stdout=StringIO(), stderr=err)
        assert (f"chmod o= {folder}" in err.getvalue()) is told
        assert mode(folder) == said


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="pg_dump writes into a closed folder")
def test_a_copy_of_the_rows_is_the_owners(tmp_path: Path) -> None:
    database_dumps.dump(tmp_path / "rows.sqlite3", io.StringIO())
    assert mode(tmp_path / "rows.sqlite3") == 0o600


@pytest.mark.usefixtures("closed_rows")
def test_the_doctor_says_what_is_open_and_how_to_close_it(
    own_settings: Callable[..., None], tmp_path: Path
) -> None:
    (report,) = PROBES["rights"]()
    assert report.state == "ok"
    data, elsewhere = settings.LORARY.data, tmp_path / "files"
    elsewhere.mkdir()
    elsewhere.chmod(0o751)
    own_settings(storage=elsewhere.as_uri(), accel="/blobs/")
    data.chmod(0o755)
    (report,) = PROBES["rights"]()
    assert report.state == "warning"
    assert f"Run `chmod o= {data} {elsewhere}`." in report.hint
    assert "nginx" in report.hint
    data.chmod(0o750)
    assert exposed() == [elsewhere]


@pytest.mark.usefixtures("closed_rows")
def test_what_lies_in_a_closed_folder_is_closed() -> None:
    files = settings.LORARY.data / "files"
    files.mkdir(mode=0o755)
    files.chmod(0o755)
    assert exposed() == []
    settings.LORARY.data.chmod(0o755)
    assert exposed() == [settings.LORARY.data, files]


@pytest.mark.django_db
def test_a_warning_does_not_break_a_monitor() -> None:
    settings.LORARY.data.chmod(0o755)
    out = StringIO()
    with pytest.raises(SystemExit) as leaving:
        call_command("doctor", "--json", stdout=out)
    assert leaving.value.code == 0
    assert "chmod o=" in json.dumps(json.loads(out.getvalue()))
