"""Pulls and pushes that are killed at random moments, again and again, and then come out right.

Scans, imports, syncs and pushes of folders have such tests beside their others.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from lorary.client.transfers.cache import BLOCK_BYTES
from lorary.limits import JOBS
from tests.builders.adapters import DENOISERS, kohya
from tests.client.conftest import CLI, parts, sha

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.fakehub import FakeHub

LONG = (pytest.mark.long, pytest.mark.timeout(3600))
KILLS = [3, pytest.param(50, marks=LONG)]
NAME, PATH = "studio/noir", "noir.safetensors"
PART = 64 * 1024


def killed(
    command: list[str], environment: dict[str, str], begun: Callable[[], int], pause_s: float
) -> None:
    """Start a command, and kill it some time after the next transfer began.

    Args:
        begun: Returns how many transfers have begun.
    """
    before = begun()
    pipe = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe)
    try:
        deadline = time.monotonic() + 60
        while begun() == before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(pause_s)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_pull_asks_for_nothing_that_it_has_written(
    fake: FakeHub, home: Path, environment: dict[str, str], tmp_path: Path, kills: int
) -> None:
    weights = random.Random(7).randbytes(3 * PART * kills)  # more than all runs get
    chance, target = random.Random(5), tmp_path / "loras" / PATH
    command = [*CLI, "pull", NAME, "--to", str(target.parent), "--json"]
    fake.publish(NAME, {PATH: weights})
    fake.slow_s = 0.05  # after each 64 KiB
    expected: list[int] = []
    for _ in range(kills):
        killed(command, environment, lambda: len(fake.requests("files/")), chance.uniform(0, 0.08))
        kept = parts(home)[0].read_bytes() if parts(home) else b""
        assert kept == weights[: len(kept)]
        assert not target.exists() or target.read_bytes() == weights
        expected.append(len(kept))
    fake.slow_s = 0
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=True)
    assert json.loads(done.stdout)["files"][0]["bytes_fetched"] == len(weights) - expected[-1]
    assert target.read_bytes() == weights
    starts = [seen.headers.get("Range", "bytes=0-") for seen in fake.requests("files/")]
    assert starts == [f"bytes={kept}-" for kept in [0, *expected]]
    assert fake.file_bytes_sent <= len(weights) + kills * BLOCK_BYTES
    assert parts(home) == []


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_push_sends_no_part_again_that_arrived(
    fake: FakeHub, environment: dict[str, str], tmp_path: Path, kills: int
) -> None:
    chance, large = random.Random(6), tmp_path / "large.safetensors"
    large.write_bytes(kohya(DENOISERS["sdxl", "sgm"], rank=16))
    size = large.stat().st_size
    fake.part_bytes, fake.put_pause_s = PART, 0.05
    command = [*CLI, "push", str(large), "--to", "ada/large", "--json"]
    for _ in range(kills):
        killed(command, environment, lambda: len(fake.requests("^PUT ")), chance.uniform(0, 0.04))
    fake.put_pause_s = 0
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=True)
    assert json.loads(done.stdout)["version"] == "v1"
    (version,) = fake.versions["ada/large"]
    assert [file["sha256"] for file in version["files"]] == [sha(large.read_bytes())]
    assert size <= fake.body_bytes <= size + kills * JOBS * PART
