"""The client that the hub hands out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lorary
from hub.pages.help import client as help_client

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import Settings

pytestmark = pytest.mark.django_db

PLACE = f"/help/client/{help_client.wheel().name}"


def test_pip_installs_the_client_that_the_hub_hands_out(client: Client, tmp_path: Path) -> None:
    sent = client.get(PLACE)
    assert (
        sent.headers["Content-Disposition"] == f'attachment; filename="{help_client.wheel().name}"'
    )
    wheel = tmp_path / help_client.wheel().name
    wheel.write_bytes(sent.content)
    place = tmp_path / "installed"
    pip = (sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet")
    subprocess.run([*pip, "--target", str(place), str(wheel)], check=True, timeout=120)
    here = Path(lorary.__path__[0])
    packed = {path.relative_to(place / "lorary") for path in (place / "lorary").rglob("*.*")}
    known = {path.relative_to(here) for path in here.rglob("*.*")}
    assert {path for path in known if "__pycache__" not in path.parts} <= packed
    script = "import lorary; print(lorary.__file__, lorary.__version__)"
    command = (sys.executable, "-S", "-c", script)
    version = help_client.wheel().name.split("-")[1]
    info = place / f"lorary-{version}.dist-info"
    assert (info / "RECORD").exists()
    licence = (Path(lorary.__path__[0]).parents[1] / "LICENSE").read_bytes()
    assert (info / "licenses" / "LICENSE").read_bytes() == licence
    found = subprocess.run(
        command, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(place)}
    )
    file, told = found.stdout.split()
    assert Path(file).is_relative_to(place)
    assert told == version
    assert (place / "bin" / "lorary").exists()


def test_the_same_client_is_the_same_bytes(client: Client) -> None:
    sent = client.get(PLACE)
    again = client.get(PLACE, headers={"If-None-Match": sent.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    first = help_client.wheel()
    assert help_client.wheel.__wrapped__() == first
    told = client.head(PLACE)
    assert (told.status_code, int(told.headers["Content-Length"])) == (200, len(first.content))


def test_another_client_has_another_version(tmp_path: Path, settings: Settings) -> None:
    shutil.copytree(settings.ROOT / "sdk", tmp_path / "sdk")
    settings.ROOT = tmp_path
    name = help_client.wheel().name
    assert help_client.wheel.__wrapped__().name == name
    (tmp_path / "sdk" / "src" / "lorary" / "new.py").touch()
    other = help_client.wheel.__wrapped__().name
    assert (other != name, other[:13]) == (True, name[:13])


def test_there_is_no_other_version(client: Client) -> None:
    assert client.get("/help/client/lorary-0.0.1-py3-none-any.whl").status_code == 404
    assert client.post(PLACE).status_code == 405
