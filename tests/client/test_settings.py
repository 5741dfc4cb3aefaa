"""lorary config, and what counts where a value is given more than once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lorary import library
from lorary.client import errors
from lorary.client.config import DEFAULT_ENDPOINT, Credentials
from tests.client.projects import Folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NAME = "studio/noir"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder; the hub is the one of the last login."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    fake.publish(NAME, {"noir.safetensors": b"noir"})
    return folder


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LORARY_ENDPOINT")


def test_each_value_is_told_with_its_source(
    no_hub: None, run: Run, home: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = run("config", "list", "--json").documents
    assert [(row["key"], row["value"], row["source"]) for row in rows] == [
        ("hub", DEFAULT_ENDPOINT, "default"),
        ("layout", None, "default"),
        ("root", None, "default"),
        ("jobs", "8", "default"),
        ("keyring", "off", "default"),
    ]
    place = str(home / "credentials.json")
    assert run("config", "set", "hub", "https://hub.example/").out == "https://hub.example\n"
    assert run("config", "set", "layout", "comfyui", "--json").document == {
        "key": "layout", "value": "comfyui", "source": place,
    }  # fmt: skip
    run("config", "set", "root", "ui")
    monkeypatch.setenv("LORARY_JOBS", "3")
    ran = run("config", "set", "jobs", "2")
    assert ran.err == "lorary: LORARY_JOBS also has a value for jobs, which takes precedence\n"
    assert run("config", "get", "jobs").out == "3\n"
    assert run("config", "get", "root").out == f"{here / 'ui'}\n"
    (here / "lorary.toml").write_text('layout = "a1111"\nhub = "https://other.example"\n')
    sources = {row["key"]: row["source"] for row in run("config", "list", "--json").documents}
    assert sources == {
        "hub": place, "layout": str(here / "lorary.toml"), "root": place, "jobs": "LORARY_JOBS",
        "keyring": "default",
    }  # fmt: skip
    run("config", "unset", "root")
    assert run("config", "get", "root", "--json").document["value"] is None
    assert Credentials.load(home).settings == {"layout": "comfyui", "jobs": "2"}


def test_login_and_config_remember_the_same_hub(no_hub: None, run: Run, fake: FakeHub) -> None:
    run("config", "set", "hub", "https://hub.example")
    assert run("login", "--endpoint", fake.url, "--token", "lor_right").code == 0
    assert run("config", "get", "hub").out == f"{fake.url}\n"
    assert run("pull", NAME).code == 0


def test_pull_and_resolve_use_the_remembered_folder(run: Run, here: Path, tmp_path: Path) -> None:
    run("config", "set", "layout", "comfyui")
    run("config", "set", "root", tmp_path / "ComfyUI")

    def place_of(*words: object) -> Path:
        (file,) = run("pull", NAME, "--json", *words).document["files"]
        return Path(file["local_path"])

    weights = tmp_path / "ComfyUI" / "models" / "loras" / "noir.safetensors"
    assert place_of() == weights
    assert place_of("--layout", "a1111").parent == tmp_path / "ComfyUI" / "models" / "Lora"
    assert place_of("--root", "other").parent == here / "other" / "models" / "loras"
    assert place_of("--to", "mine").parent == here / "mine"
    (here / "a.txt").write_text("a <lora:noir:0.8>\nSteps: 20, Sampler: Euler, Seed: 1")
    assert run("resolve", "a.txt", "--json").document["path"] == str(weights)
    (here / "lorary.toml").write_text('layout = "flat"\nroot = "."\n')
    assert place_of().parent == here


@pytest.mark.parametrize(
    ("line", "variable", "layout", "root"),
    [
        ("", "", "flat", "here"),
        ("", "", "comfyui", "remembered"),
        ('root = "said"', "", "comfyui", "here/said"),
        ('root = "said"', "given", "comfyui", "given"),
        ("", "given", "flat", "given"),
    ],
)
def test_the_root_of_a_project(
    run: Run,
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    variable: str,
    layout: str,
    root: str,
) -> None:
    """A folder that belongs to no program is its own, whatever is remembered."""
    run("config", "set", "layout", "a1111")
    run("config", "set", "root", tmp_path / "remembered")
    if variable:
        monkeypatch.setenv("LORARY_ROOT", str(tmp_path / variable))
    (here / "lorary.toml").write_text(f'layout = "{layout}"\n{line}\n')
    project = library.Project.load(here)
    assert (project.layout, project.root) == (layout, tmp_path / root)


def test_a_new_project_begins_with_the_remembered_folder(run: Run, here: Path) -> None:
    run("config", "set", "layout", "comfyui")
    run("config", "set", "root", "/ui")
    assert run("lock", "--init").code == 0
    assert 'layout = "comfyui"\nroot = "/ui"\n' in (here / "lorary.toml").read_text()
    Folder(here).want({NAME: "*"})


@pytest.mark.parametrize(
    "words",
    [
        ["set", "layout", "other"],
        ["set", "jobs", "0"],
        ["set", "jobs", "many"],
        ["set", "hub", "hub.example"],
        ["set", "hub", ""],
        ["set", "colour", "red"],
        ["set", "hub"],
        ["get"],
        ["list", "hub"],
        ["show"],
    ],
)
def test_what_cannot_be_set_is_refused(run: Run, home: Path, words: list[str]) -> None:
    assert run("config", *words).code == 2
    assert not home.exists()


def test_a_wrong_variable_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORARY_JOBS", "99")
    ran = run("pull", NAME)
    assert (ran.code, "LORARY_JOBS: “99” is not a number of jobs" in ran.err) == (2, True)
    with pytest.raises(errors.SettingInvalid):
        library.setting("jobs")
    assert run("pull", NAME, "--jobs", "1").code == 0
