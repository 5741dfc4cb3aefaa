"""An SQLite database with all tables: made once for the code as it is, then copied."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "lorary.sqlite3"
#: What decides about tables, triggers and the rows that a migration writes.
SCHEMA = (
    "registry/*.py", "registry/migrations/*.py", "registry/models/*.py", "registry/search/*.py",
    "previews/migrations/*.py", "previews/models/*.py",
)  # fmt: skip


def copy_to(file: Path) -> None:
    """Copy the database to a file; the migrations run first if they have changed."""
    with _locked(ROOT / ".pytest_cache" / "migrated") as folder:
        made = folder / f"{_digest()}.sqlite3"
        if not made.exists():
            for old in folder.glob("*.sqlite3"):
                old.unlink()
            _migrate(folder / "data")
            (folder / "data" / DATABASE).rename(made)
        shutil.copy(made, file)


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
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LORARY_", "DJANGO_"))}
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env={**kept, "LORARY_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
