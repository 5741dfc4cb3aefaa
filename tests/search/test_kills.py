"""Writers that are killed leave no adapter that is found by other words than its own."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 4
WRITES = """
import random, sys
from registry.accounts import users
from registry.adapters import services as adapters
from registry.models import Adapter, User

chance = random.Random({seed})
ada = User.objects.filter(username="ada").first() or users.create_user(name="ada")
print("ready", flush=True)
while True:
    number, word = chance.randrange(40), f"word{{chance.randrange(1000)}}"
    there = Adapter.objects.filter(key=f"a{{number}}").first()
    if there is None:
        adapters.create(actor=ada, name=f"a{{number}}", title=word, tags=[word])
    else:
        adapters.describe(actor=ada, adapter=there, title=word, card=word * 50, tags=[word])
"""


@pytest.mark.slow
@pytest.mark.e2e
def test_index_and_rows_agree_after_kills(tmp_path: Path) -> None:
    hub, chance = RunningHub(tmp_path / "hub"), random.Random(1)
    hub.migrate()
    for seed in range(KILLS):
        script = WRITES.format(seed=seed)
        with subprocess.Popen(
            [sys.executable, "manage.py", "shell", "--verbosity", "0", "--command", script],
            cwd=ROOT,
            env=hub.environ,
            stdout=subprocess.PIPE,
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(0.3 + chance.random())
            writer.kill()
        found = json.loads(hub.manage("search", "check", "--json"))
        assert found["ok"], found
        assert found["adapters"]
