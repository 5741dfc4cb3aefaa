"""The output of a training, pushed to a running hub: killed again and again, published once."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.commands import CommandLine
from tests.e2e.talk import Caller, caller

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CARD = """---
license: mit
tags: [ink, wet]
instance_prompt: film noir
---
Dark and wet.
"""
EPOCHS = (1, 2, 3, 4, 5)
LONG = (pytest.mark.long, pytest.mark.timeout(3600))


@pytest.fixture(scope="module")
def paul(quiet_hub: RunningHub) -> Caller:
    return caller(quiet_hub, "paul")


@pytest.fixture
def line(quiet_hub: RunningHub, paul: Caller, tmp_path: Path) -> CommandLine:
    return CommandLine(quiet_hub, tmp_path / "home", paul.token)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """What sd-scripts leaves after five epochs with two samples each, and a card."""
    place = tmp_path / "output"
    (place / "sample").mkdir(parents=True)
    (place / "README.md").write_text(CARD)
    for epoch in EPOCHS:
        metadata = {"ss_session_id": "9", "ss_epoch": str(epoch), "ss_steps": str(100 * epoch)}
        data = kohya(DENOISERS["sd1", "diffusers"], rank=20 + epoch, metadata=metadata)
        last = epoch == EPOCHS[-1]
        (place / f"noir{'' if last else f'-{epoch:06}'}.safetensors").write_bytes(data)
        for number in (0, 1):
            drawn = io.BytesIO()
            Image.new("RGB", (64, 64), (epoch * 40, number * 90, 60)).save(drawn, "PNG")
            name = f"noir_e{epoch:06}_{number:02}_2026010203040{number}_42.png"
            (place / "sample" / name).write_bytes(drawn.getvalue())
    return place


def rows(line: CommandLine, *words: str, code: int = 0) -> list[dict[str, Any]]:
    return [json.loads(text) for text in line.run(*words, "--json", code=code).splitlines()]


@pytest.mark.parametrize(
    "moments",
    [[0.7, 1.5, 2.5, 4.0], pytest.param([0.5 + step / 6 for step in range(50)], marks=LONG)],
)
def test_a_run_that_is_pushed_between_kills_is_published_once(
    line: CommandLine, paul: Caller, output: Path, moments: list[float]
) -> None:
    name = f"run{len(moments)}"
    words = ("push", str(output), "--to", f"paul/{name}", "--kind", "style", "--yes")
    for moment in moments:
        job = subprocess.Popen(
            [sys.executable, "-m", "lorary", *words], env=line.environ, cwd=line.home.parent,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(moment)
        job.kill()
        job.wait()
    rows(line, *words)
    root = f"/api/v1/adapters/paul/{name}"
    listed = paul.get(f"{root}/versions").document["results"]
    versions = [
        paul.get(f"{root}/versions/v{number}").document for number in range(1, len(listed) + 1)
    ]
    assert [one["version"] for one in versions] == ["v1", "v2", "v3", "v4", "v5"]
    assert [one["label"] for one in versions] == [f"epoch {epoch}" for epoch in EPOCHS]
    assert {one["state"] for one in versions} == {"published"}
    assert all(one["trigger_words"] == ["film noir"] for one in versions)
    weights = [f["sha256"] for one in versions for f in one["files"] if f["role"] == "weights"]
    assert len(weights) == len(set(weights)) == len(EPOCHS)
    for one in versions:
        gallery = paul.get(f"{root}/versions/{one['version']}/samples").document["results"]
        assert len(gallery) == 2, one["version"]
    adapter = paul.get(root).document
    assert (adapter["licence"], adapter["kind"], sorted(adapter["tags"])) == (
        "mit", "style", ["ink", "wet"],
    )  # fmt: skip
    assert "Dark and wet." in adapter["card"]


def test_edits_on_the_hub_stay_when_a_trainer_pushes_again(
    line: CommandLine, paul: Caller, output: Path
) -> None:
    root = "/api/v1/adapters/paul/edited"
    words = ("push", str(output), "--to", "paul/edited", "--private")
    last = output / "noir.safetensors"
    kept = last.read_bytes()
    last.unlink()
    (planned,) = [one for one in rows(line, *words, "--dry-run") if one["label"] == "epoch 4"]
    assert (planned["anatomy"][0]["base"]["family"], planned["attached"]) == ("sd1", ["README.md"])
    assert paul.get(root).status == 404
    assert [one["state"] for one in rows(line, *words)] == ["published"] * 4
    edits = {"title": "Mine", "card": "Mine.", "tags": ["mine"]}
    assert paul.call("PATCH", root, edits).status == 200
    reason = {"reason": "Too strong."}
    assert paul.call("POST", f"{root}/versions/v1/yank", reason).status == 200
    line.run("withdraw", "paul/edited@v2", "--reason", "Wrong.", "--yes")
    last.write_bytes(kept)
    elsewhere = CommandLine(line.hub, line.home.with_name("elsewhere"), line.token)
    assert [one["state"] for one in rows(elsewhere, *words)] == [*["here"] * 4, "published"]
    adapter = paul.get(root).document
    assert (adapter["title"], adapter["card"], adapter["tags"]) == ("Mine", "Mine.", ["mine"])
    versions = paul.get(f"{root}/versions").document["results"]
    assert {one["version"]: one["state"] for one in versions} == {
        "v1": "yanked", "v2": "withdrawn", "v3": "published", "v4": "published", "v5": "published",
    }  # fmt: skip
