"""Mistakes in settings and options end a command with a line, not with a traceback."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def manage(folder: Path, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{shlex.quote(sys.executable)} manage.py {command}"],
        cwd=ROOT,
        env=RunningHub(folder / "data", **settings).environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("TIME_ZONE", "Mars", "Europe/Paris"),
        ("LANGUAGE", "xx", "use one of en"),
        ("LOG_LEVEL", "loud", "WARNING"),
        ("DATA", "/proc/x", "folder that the hub can write to"),
        ("DATABASE_URL", "mysql://x", "postgres://"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(
    tmp_path: Path, name: str, value: str, hint: str
) -> None:
    done = manage(tmp_path, "check", **{name: value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: LORARY_{name}: ")
    assert hint in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_number_is_named_with_its_option(tmp_path: Path) -> None:
    done = manage(tmp_path, "up --port 99999")
    assert done.returncode == 2
    assert "argument --port: " in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_says_that_the_database_cannot_be_reached(tmp_path: Path) -> None:
    done = manage(tmp_path, "doctor", DATABASE_URL="postgres://a:b@127.0.0.1:1/c")
    assert done.returncode == 1
    assert "The database cannot be reached: " in done.stdout
    assert "Check LORARY_DATABASE_URL" in done.stdout
    assert "manage.py migrate" not in done.stdout


@pytest.mark.parametrize(
    ("command", "pool"),
    [("backup --to {}/backup", "0"), ("user list", "0"), ("migrate", "0"), ("user list", "6")],
)
def test_commands_say_that_the_database_cannot_be_reached(
    tmp_path: Path, command: str, pool: str
) -> None:
    url = "postgres://a:b@127.0.0.1:1/c"
    done = manage(tmp_path, command.format(tmp_path), DATABASE_URL=url, DATABASE_POOL=pool)
    assert done.returncode == 1
    said = r"\S+: The database cannot be reached: .+[.?] Check LORARY_DATABASE_URL, .+"
    assert re.fullmatch(said, done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr


def test_a_command_whose_reader_stops_is_quiet(tmp_path: Path) -> None:
    done = manage(tmp_path, "help | true")
    assert (done.returncode, done.stderr) == (1, "")
