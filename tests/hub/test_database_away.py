"""What a hub answers while PostgreSQL does not run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.running import ROOT, free_port

if TYPE_CHECKING:
    from pathlib import Path

ADDRESSES = [
    "/", "/browse", "/packs", "/signin", "/ada", "/ada/noir", "/use", "/licences",
    "/api/v1/adapters", "/api/models", "/sitemap.xml",
]  # fmt: skip
#: Visitors, and people with a session.
SCRIPT = """
import json, sys
import django
django.setup()
from django.conf import settings
from django.db import connection
from django.test import Client
if pool := connection.settings_dict["OPTIONS"].get("pool"):
    pool["timeout"] = 0.2
settings.ALLOWED_HOSTS = ["testserver"]
found = []
for cookie in ("", "k" * 32):
    client = Client(raise_request_exception=False)
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie
    for address in sys.argv[1:]:
        answer = client.get(address)
        text = answer.content.decode()
        found.append([address, answer.status_code, answer.headers.get("Retry-After"), text])
    answer = client.post("/signin", {"username": "ada", "password": "x"})
    found.append(["signin", answer.status_code, answer.headers.get("Retry-After"), ""])
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["0", "6"], ids=["without a pool", "with a pool"])
def test_pages_ask_to_try_again_and_the_log_has_a_line(tmp_path: Path, pool: str) -> None:
    environ = {name: v for name, v in os.environ.items() if not name.startswith("LORARY_")} | {
        "DJANGO_SETTINGS_MODULE": "hub.settings.base",
        "LORARY_DATA": str(tmp_path),
        "LORARY_DATABASE_URL": f"postgres://lorary@127.0.0.1:{free_port()}/lorary",
        "LORARY_DATABASE_POOL": pool,
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *ADDRESSES],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [(name, status) for name, status, _wait, _text in answers if status != 503] == []
    assert {wait for _name, _status, wait, _text in answers} == {"2"}
    pages = [text for _name, _status, _wait, text in answers if "<html" in text]
    assert len(pages) >= 2 * 8
    assert all("Try again in a moment." in text for text in pages)
    assert all("/signin" in text for text in pages)
    assert "Traceback" not in done.stderr
    assert done.stderr.count("the database refused") == len(answers)
