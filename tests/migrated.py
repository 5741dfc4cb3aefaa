"""What hubs of tests start with, made once for the code as it is: tables and static files."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "lorary.sqlite3"
#: What decides about tables, triggers, the rows that a migration writes and the mode of the file.
SCHEMA = (
    "registry/*.py", "registry/migrations/*.py", "registry/models/*.py", "registry/search/*.py",
    "previews/migrations/*.py", "previews/models/*.py", "hub/databases.py",
)  # fmt: skip


def copy_to(file: Path) -> None:
    """Copy the database and its mode to a file; the migrations run first if they have changed."""
    with _locked(ROOT / ".pytest_cache" / "migrated") as folder:
        made = folder / f"{_digest()}.sqlite3"
        if not made.exists():
            for old in folder.glob("*.sqlite3"):
                old.unlink()
            _migrate(folder / "data")
            (folder / "data" / DATABASE).rename(made)
        shutil.copy(made, file)


def copy_static_to(data: Path) -> None:
    """Copy the static files as a hub collects them, which takes it more than a second."""
    found = _static()
    shutil.copytree(found, data / "static" / found.name)


@cache
def _static() -> Path:
    code = (
        "import django; django.setup(); from hub.http.static import collected; print(collected())"
    )
    with _locked(ROOT / ".pytest_cache" / "static") as folder:
        found = _run("-c", code, data=folder / "data")
    return Path(found.strip())


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _digest() -> str:
    digest = hashlib.sha256(f"{django.VERSION} {sqlite3.sqlite_version}".encode())
    for pattern in SCHEMA:
        for file in sorted(ROOT.glob(pattern)):
            digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _migrate(data: Path) -> None:
    shutil.rmtree(data, ignore_errors=True)
    _run("manage.py", "migrate", "--verbosity", "0", data=data)


def _run(*arguments: str, data: Path) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LORARY_", "DJANGO_"))}
    own = {"LORARY_DATA": str(data), "DJANGO_SETTINGS_MODULE": "hub.settings.base"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**kept, **own},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
