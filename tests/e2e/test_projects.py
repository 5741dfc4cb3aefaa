"""A folder with a lorary.toml against a running hub: packs, aliases, states, a second machine."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.adapters import DENOISERS, kohya
from tests.client.projects import Folder
from tests.e2e.commands import CommandLine
from tests.e2e.talk import Caller, caller

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import RunningHub

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NOIR, INK, RAIN, DUSK = "dora/noir", "dora/ink", "dora/rain", "dora/dusk"


@pytest.fixture(scope="module")
def dora(quiet_hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A user with three versions of an adapter, for two base models, another one, and a pack."""
    dora = caller(quiet_hub, "dora")
    folder = tmp_path_factory.mktemp("dora")
    line = CommandLine(quiet_hub, folder / "home", dora.token)
    for name, file, base, rank in [
        (NOIR, "noir.safetensors", "sd1", 4), (NOIR, "noir.safetensors", "sd1", 5),
        (NOIR, "noir.safetensors", "sdxl", 4), (INK, "pytorch_lora_weights.safetensors", "sd1", 9),
    ]:  # fmt: skip
        place = folder / file
        place.write_bytes(kohya(DENOISERS[base, "diffusers"], rank=rank))
        line.ask("push", str(place), "--to", name)
    line.ask("alias", NOIR, "stable", "v1")
    part = {"adapter": NOIR, "version": "v2", "strength": 0.8, "role": "style"}
    variant = {"name": "sd1", "family": "sd1", "parts": [part], "prompt": "noir, {prompt}"}
    (folder / "dusk.json").write_text(json.dumps({"variants": [variant]}))
    line.ask("pack", "create", DUSK, "--title", "Dusk")
    line.ask("pack", "publish", DUSK, str(folder / "dusk.json"))
    return dora


@pytest.fixture
def line(quiet_hub: RunningHub, dora: Caller, tmp_path: Path) -> CommandLine:
    """Commands that run in a new folder."""
    return CommandLine(quiet_hub, tmp_path / "here" / ".home", dora.token)


@pytest.fixture
def project(line: CommandLine) -> Folder:
    return Folder(line.home.parent)


def rows(line: CommandLine, *words: str, code: int = 0) -> list[dict[str, Any]]:
    return [json.loads(text) for text in line.run(*words, "--json", code=code).splitlines()]


def test_a_folder_is_the_same_on_a_second_machine(
    line: CommandLine, project: Folder, tmp_path: Path
) -> None:
    project.want({NOIR: "v1", INK: "^v1"}, {DUSK: "*"}, layout="comfyui", root="UI")
    assert {row["action"] for row in rows(line, "sync")} == {"add"}
    names = ["dora--dusk.pack.json", "dora--ink.safetensors", "noir.safetensors"]
    assert {*project.files} >= {f"UI/models/loras/{name}" for name in names}
    locked = [(row["name"], row["version"], row["wanted"]) for row in project.lock["file"]]
    assert sorted(locked) == [(INK, "v1", "^v1"), (NOIR, "v1", "v1"), (NOIR, "v2", "")]
    described = json.loads(project.files["UI/models/loras/dora--dusk.pack.json"])
    (part,) = described["variants"][0]["parts"]
    assert (project.path / "UI/models/loras" / part["local_file"]).is_file()
    assert {row["action"] for row in rows(line, "sync", "--frozen", "--prune")} == {"here"}
    assert {row["state"] for row in rows(line, "verify")} == {"ok"}
    other = Folder(tmp_path / "there")
    other.path.mkdir()
    for name in ("lorary.toml", "lorary.lock"):
        (other.path / name).write_bytes((project.path / name).read_bytes())
    rows(replace(line, home=other.path / ".home"), "sync", "--frozen")
    here, there = (
        {name: data for name, data in folder.files.items() if name.startswith("UI/")}
        for folder in (project, other)
    )
    assert here == there
    project.want({}, layout="comfyui", root="UI")
    assert {row["action"] for row in rows(line, "sync", "--prune")} == {"remove"}
    assert not [name for name in project.files if name.startswith("UI/")]


def test_states_and_aliases_of_the_hub_are_told(line: CommandLine, project: Folder) -> None:
    place = project.path / "rain.safetensors"
    place.parent.mkdir()
    place.write_bytes(kohya(DENOISERS["sd1", "diffusers"], rank=7))
    line.ask("push", str(place), "--to", RAIN)
    project.want({NOIR: "stable", RAIN: "v1"}, {DUSK: "v1"})
    rows(line, "lock")
    line.ask("alias", NOIR, "stable", "v2")
    line.ask("yank", f"{RAIN}@v1", "--reason", "Too strong.")
    found = {row["name"]: row for row in rows(line, "outdated")}
    assert (found[NOIR]["version"], found[NOIR]["update"]) == ("v1", "v2")
    assert (found[RAIN]["state"], found[RAIN]["reason"]) == ("yanked", "Too strong.")
    assert (found[DUSK]["state"], found[DUSK]["newest"]) == ("published", "v1")
    updated = {row["name"]: row for row in rows(line, "update")}
    assert (updated[NOIR]["change"], updated[NOIR]["version"]) == ("changed", "v2")
    assert (updated[RAIN]["change"], updated[RAIN]["state"]) == ("kept", "yanked")
    project.want({RAIN: "*", NOIR: "v9", "dora/none": "*"}, {"dora/none": "*"})
    errors = {row["name"]: row["error"] for row in rows(line, "sync", code=3) if "error" in row}
    assert f"{NOIR} has no version or alias “v9”. It has v3, v2, v1" in errors[NOIR]["message"]
    assert errors["dora/none"]["code"] == "not_found"
    line.ask("withdraw", f"{RAIN}@v1", "--reason", "A request.", "--yes")
    project.want({RAIN: "v1"})
    project.lock_path.unlink()
    (row,) = rows(line, "lock", code=3)
    assert (row["error"]["code"], "A request." in row["error"]["message"]) == ("gone", True)


def test_a_range_stays_with_its_base_model(line: CommandLine, project: Folder) -> None:
    project.want({NOIR: "v1"})
    rows(line, "lock")
    project.want({NOIR: "^v1"})
    (row,) = rows(line, "update")
    assert (row["version"], "v3 is for another base model" in row["reason"]) == ("v2", True)
    assert [one["newest"] for one in rows(line, "outdated")] == ["v2"]
