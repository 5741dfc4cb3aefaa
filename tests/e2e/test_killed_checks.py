"""A worker that is killed while it reads a long file: checks begin anew, and memory stays small."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.streams import write_safetensors
from tests.e2e.talk import Caller, caller, kept, sent_from
from tests.running import RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

MIB = 1024 * 1024
WORKER = "worker --queues checks"
SHAPES = {"down": ("F16", (16, MIB * 2)), "up": ("F16", (MIB * 2, 16))}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningHub]:
    with RunningHub(tmp_path / "hub", "--queues", "checks") as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An adapter of a quarter of a gigabyte that no base model has."""
    place = tmp_path / "noir.safetensors"
    names = (f"lora_unet_{n}.lora_{half}.weight" for n in range(2) for half in SHAPES)
    write_safetensors(place, {name: SHAPES[name.split("_")[-1].split(".")[0]] for name in names})
    return place


def sent(ada: Caller, source: Path) -> str:
    """Send a file, and return the address of its upload as its checks begin."""
    size = source.stat().st_size
    upload = ada.announce(source.name, size).document["id"]
    place = f"/api/v1/uploads/{upload}"
    answer = ada.call("PUT", f"{place}/content", sent_from(source), {"Content-Length": str(size)})
    assert answer.status == 200, answer.body
    return place


def peak_mib(pid: int) -> float:
    """Return the most memory that a process ever had."""
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) / 1024


def stopped_amid(ada: Caller, place: str, pid: int) -> dict[str, Any] | None:
    """Stop a worker once it has read a part; None where it was done before that."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if ada.get(place).document["progress"]["done"]:
            os.kill(pid, signal.SIGSTOP)
            upload: dict[str, Any] = ada.get(place).document
            return upload if upload["state"] == "checking" else None
    pytest.fail("no progress was ever told")


def test_checks_of_a_killed_worker_begin_again_and_end_once(hub: RunningHub, source: Path) -> None:
    ada = caller(hub, "ada")
    size = source.stat().st_size
    for _trial in range(5):
        pid = hub.pid_of(WORKER)
        place = sent(ada, source)
        upload = stopped_amid(ada, place, pid)
        os.kill(pid, signal.SIGKILL)
        if upload is not None:
            break
    else:
        pytest.fail("The checks were always done before the kill.")
    assert 0 < upload["progress"]["done"] < size
    assert ada.final_state(upload["id"]) == "accepted"
    decided = ada.get(place).document
    codes = [finding["code"] for finding in decided["findings"]]
    assert len(codes) == len(set(codes))
    assert decided["progress"] == {"done": size, "total": size}
    assert hub.pid_of(WORKER) != pid
    assert kept(hub).rows["blob"] == 1
    assert [name for name in kept(hub).files if "incoming" in name] == []


def test_memory_of_a_worker_stays_small_while_a_long_file_passes(
    hub: RunningHub, source: Path, tmp_path: Path
) -> None:
    ada = caller(hub, "ada")
    small = tmp_path / "small.safetensors"
    shapes = {"down": ("F16", (4, 320)), "up": ("F16", (320, 4))}
    write_safetensors(small, {f"lora_unet_0.lora_{half}.weight": shapes[half] for half in shapes})
    assert ada.final_state(sent(ada, small).rpartition("/")[2]) == "accepted"
    pid = hub.pid_of(WORKER)
    idle = peak_mib(pid)
    assert ada.final_state(sent(ada, source).rpartition("/")[2]) == "accepted"
    assert peak_mib(pid) - idle < 64
