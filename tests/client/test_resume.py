"""Pulling by processes that die, wait for each other, or are interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.client.conftest import CLI, parts, sha

if TYPE_CHECKING:
    from tests.client.fakehub import FakeHub

NAME = "studio/noir"
PATH = "noir.safetensors"


def pulling(environment: dict[str, str], *more: str) -> subprocess.Popen[str]:
    command = [*CLI, "pull", NAME, "--json", *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)


def wait_for_part(home: Path, size: int) -> Path:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for part in parts(home):
            if part.stat().st_size >= size:
                return part
        time.sleep(0.005)
    raise AssertionError


def test_killed_pull_goes_on_in_the_next_process(
    fake: FakeHub, home: Path, environment: dict[str, str], weights: bytes
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.slow_s = 0.05
    process = pulling(environment)
    part = wait_for_part(home, 1_000_000)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = part.stat().st_size
    assert 1_000_000 <= kept < len(weights)
    assert part.read_bytes() == weights[:kept]
    fake.slow_s = 0
    again = pulling(environment)
    out, err = again.communicate(timeout=30)
    assert again.returncode == 0, err
    file = json.loads(out)["files"][0]
    assert file["bytes_fetched"] == len(weights) - kept
    assert sha(Path(file["local_path"]).read_bytes()) == sha(weights)
    assert fake.requests("files/")[-1].headers["Range"] == f"bytes={kept}-"


def test_interrupted_pull_ends_with_a_clean_line(
    fake: FakeHub, home: Path, environment: dict[str, str], weights: bytes
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.slow_s = 0.05
    process = pulling(environment)
    wait_for_part(home, 100_000)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert out == ""
    assert err.strip().startswith("lorary: interrupted. ")
    assert len(err.strip().splitlines()) == 1


def test_processes_that_share_a_cache_fetch_once(
    fake: FakeHub, environment: dict[str, str], weights: bytes, tmp_path: Path
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.slow_s = 0.01
    processes = [pulling(environment, "--to", str(tmp_path / f"out{n}")) for n in range(4)]
    fetched = []
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        fetched.append(json.loads(out)["files"][0]["bytes_fetched"])
    assert sorted(fetched) == [0, 0, 0, len(weights)]
    assert fake.file_bytes_sent == len(weights)
    assert all((tmp_path / f"out{n}" / PATH).read_bytes() == weights for n in range(4))


def test_two_processes_and_one_of_them_dies(
    fake: FakeHub, home: Path, environment: dict[str, str], weights: bytes
) -> None:
    """The one that waits takes over what the dead one had."""
    fake.publish(NAME, {PATH: weights})
    fake.slow_s = 0.05
    first = pulling(environment)
    wait_for_part(home, 500_000)
    second = pulling(environment)
    time.sleep(0.5)
    first.kill()
    first.communicate()
    out, err = second.communicate(timeout=30)
    assert second.returncode == 0, err
    assert 0 < json.loads(out)["files"][0]["bytes_fetched"] <= len(weights) - 500_000


def test_pulls_to_one_folder_at_once_lose_nothing(
    fake: FakeHub, environment: dict[str, str], tmp_path: Path
) -> None:
    names = [f"ada/noir{number}" for number in range(6)]
    for name in names:
        fake.publish(name, {"pytorch_lora_weights.safetensors": name.encode()})
    folder = tmp_path / "loras"
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [*CLI, "pull", name, "--to", str(folder)], stdout=pipe, stderr=pipe, env=environment
        )
        for name in names
    ]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    files = json.loads((folder / ".lorary.json").read_text())["files"]
    assert {row["adapter"] for row in files.values()} == set(names)
    for file, row in files.items():
        assert (folder / file).read_bytes() == row["adapter"].encode()
