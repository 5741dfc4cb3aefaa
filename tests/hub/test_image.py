"""The container image: what ``deploy/Dockerfile`` copies is there, and is enough for a hub.

No container engine runs in the tests. They copy what the Dockerfile copies, by the rules of
``.dockerignore``, and run the hub's commands in that folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest

from hub.config import prepare
from hub.pages.help.guides import DOCUMENTS
from tests import migrated

ROOT = Path(__file__).resolve().parents[2]
#: Settings of this process; the image's hub uses its own and the SQLite database in its folder.
NOT_IN_THE_IMAGE = {"DJANGO_SETTINGS_MODULE", "LORARY_DATABASE_URL"}


def copied() -> list[tuple[list[str], str]]:
    """Return the sources and the target of each COPY from the build context."""
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    words = [line.split()[1:] for line in lines if line.startswith("COPY ")]
    return [(row[:-1], row[-1]) for row in words if not row[0].startswith("--from")]


def is_ignored(path: str) -> bool:
    """Whether ``.dockerignore`` keeps a path out of the build context: the last rule decides."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    own = PurePosixPath(path)
    names = [str(part) for part in (own, *own.parents) if part.name]
    is_out = False
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        if pattern and not rule.startswith("#"):
            seen = [PurePosixPath(name).name for name in names] if "**/" in rule else names
            if any(fnmatch(name, pattern) for name in seen):
                is_out = not rule.startswith("!")
    return is_out


@pytest.mark.parametrize("source", sorted({one for row in copied() for one in row[0]}))
def test_what_the_image_copies_is_in_the_build_context(source: str) -> None:
    assert (ROOT / source).exists()
    assert not is_ignored(source)


def test_the_build_context_leaves_out_what_no_image_needs() -> None:
    for path in (".git", ".venv", "var/lorary.sqlite3", "tests/conftest.py", "docs/openapi.yaml"):
        assert is_ignored(path), path
    assert is_ignored("hub/pages/__pycache__/home.pyc")


@pytest.mark.slow
def test_a_hub_runs_from_what_the_image_copies(tmp_path: Path) -> None:
    app = tmp_path / "app"
    for sources, target in copied():
        for source in sources:
            here = ROOT / source
            into = app / target / (here.name if target.endswith("/") else "")
            if here.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(here, app / target, ignore=ignored, dirs_exist_ok=True)
            else:
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(here, into)
    ask = (
        "from django.core.management import call_command\n"
        "from django.db import connection\n"
        "from django.db.migrations.loader import MigrationLoader\n"
        "from django.test import Client\n"
        "loader = MigrationLoader(connection)\n"
        "assert set(loader.disk_migrations) == set(loader.applied_migrations)\n"
        "call_command('check')\n"
        f"for name in {sorted(DOCUMENTS)!r} + ['use', 'licences']:\n"
        "    assert Client().get('/help/' + name).status_code == 200, name\n"
    )
    environ = {
        **{name: text for name, text in os.environ.items() if name not in NOT_IN_THE_IMAGE},
        "LORARY_DATA": str(tmp_path / "data"),
        "LORARY_ALLOWED_HOSTS": "testserver",
        "PYTHONPATH": str(app / "sdk" / "src"),
    }
    prepare(tmp_path / "data")
    migrated.copy_to(tmp_path / "data" / migrated.DATABASE)
    command = [sys.executable, "manage.py", "shell", "-v0", "-c", ask]
    subprocess.run(command, cwd=app, env=environ, check=True, timeout=300)
