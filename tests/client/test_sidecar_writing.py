"""Which sidecars and previews pull and sync write, replace and remove."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lorary import library
from lorary.client.errors import TargetUnusable
from lorary.client.transfers.folders import Folder as Target
from tests.client.conftest import sha
from tests.client.projects import Folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lorary.client import Progress
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NOIR, INK = "studio/noir", "studio/ink"
PNG, WEBP = b"\x89PNG\r\n\x1a\n", b"RIFF"
PREVIEW = "noir.preview.png"
PULL = ("pull", NOIR, "--to", ".", "--sidecars", "a1111")


@pytest.fixture
def project(fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A project of two adapters, with sidecars; the hub has a picture."""
    fake.publish(NOIR, {"noir.safetensors": b"noir v1"})
    fake.publish(INK, {"ink.safetensors": b"ink"})
    fake.pictures["rain.png"] = PNG
    folder = Folder(tmp_path / "project")
    folder.want({NOIR: "*", INK: "*"})
    with_sidecars(folder)
    monkeypatch.chdir(folder.path)
    return folder


def with_sidecars(folder: Folder) -> None:
    toml = folder.path / "lorary.toml"
    toml.write_text(f'sidecars = ["a1111"]\n{toml.read_text("utf-8")}', encoding="utf-8")


def actions(done: Ran) -> dict[str, str]:
    return {row["path"]: row["action"] for row in done.documents}


def test_weights_that_failed_get_no_sidecars(fake: FakeHub, project: Folder, run: Run) -> None:
    run("lock")
    fake.blobs[sha(b"noir v1")] = b"noir v0"
    done = run("sync", "--json")
    assert done.code == 1
    assert actions(done) == {
        "noir.safetensors": "failed", "ink.safetensors": "add", "ink.json": "add",
        "ink.preview.png": "add",
    }  # fmt: skip
    assert {*project.files} == {"ink.safetensors", "ink.json", "ink.preview.png"}


def test_weights_of_another_adapter_that_was_pulled_get_no_sidecars(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    fake.publish("ada/noir", {"noir.safetensors": b"another"})
    run("lock")
    assert run("pull", "ada/noir", "--to", project.path).code == 0
    (project.path / "noir.safetensors").touch()
    done = actions(run("sync", "--json"))
    assert (done["noir.safetensors"], "noir.json" in done) == ("failed", False)
    assert "noir.json" not in project.files


def test_an_edited_picture_is_removed_only_for_another(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    assert run(*PULL).code == 0
    (project.path / PREVIEW).write_bytes(b"mine, edited")
    del fake.pictures["rain.png"]
    done = run(*PULL, "--force", "--json")
    assert done.code == 0, done.err
    assert done.documents[-1] == {"sidecar": str(project.path / PREVIEW), "action": "kept"}
    assert project.files[PREVIEW] == b"mine, edited"
    fake.pictures["snow.webp"] = WEBP
    assert run(*PULL).code == 0
    assert project.files[PREVIEW] == b"mine, edited"
    assert run(*PULL, "--force").code == 0
    assert [name for name in project.files if "preview" in name] == ["noir.preview.webp"]


def test_sidecars_that_cannot_be_written_fail(
    fake: FakeHub, project: Folder, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if those of the same version are there, and only their facts have changed."""
    assert run("sync").code == 0
    for name in (NOIR, INK):
        fake.adapters[name]["summary"] = "Rain"

    def full(*_: object) -> None:
        message = "The disk is full."
        raise TargetUnusable(message)

    monkeypatch.setattr(Target, "write", full)
    done = run("sync", "--json")
    assert (done.code, done.err.count("The disk is full.")) == (1, 2)
    failed = {row["path"] for row in done.documents if row["action"] == "failed"}
    assert failed == {"ink.json", "noir.json"}
    done = run(*PULL)
    assert done.code == 1
    assert "sidecars of noir.safetensors were not written: The disk is full." in done.err


@pytest.mark.parametrize("first", ["pull", "sync"])
def test_a_renewal_leaves_sidecars_to_the_one_that_wrote_them(
    fake: FakeHub, project: Folder, run: Run, first: str
) -> None:
    project.want({NOIR: "*"})
    plain = (project.path / "lorary.toml").read_text("utf-8")
    with_sidecars(project)
    commands = [PULL, ("sync",)] if first == "pull" else [("sync",), PULL]
    for command, summary in zip(commands, ("Rain", "Snow"), strict=True):
        fake.adapters[NOIR]["summary"] = summary
        assert run(*command).code == 0
    assert b"Snow" in project.files["noir.json"]
    (project.path / "lorary.toml").write_text(plain, encoding="utf-8")
    run("sync", "--prune")
    beside = {"noir.json", PREVIEW} if first == "pull" else set()
    assert {*project.files} == {"noir.safetensors", *beside}


def test_sidecars_beside_a_file_of_the_user_are_pruned(project: Folder, run: Run) -> None:
    weights = project.path / "noir.safetensors"
    weights.write_bytes(b"noir v1")
    assert run("sync").code == 0
    assert {"noir.json", PREVIEW} <= {*project.files}
    project.want({INK: "*"})
    with_sidecars(project)
    left = actions(run("sync", "--json"))
    assert {path for path, action in left.items() if action == "leave"} == {"noir.json", PREVIEW}
    assert run("sync", "--prune").code == 0
    assert {name for name in project.files if name.startswith("noir")} == {"noir.safetensors"}
    assert weights.read_bytes() == b"noir v1"


def test_hubs_are_asked_once_for_each_version(fake: FakeHub, project: Folder, run: Run) -> None:
    files = {"ash.safetensors": b"ash", "ash-fp16.safetensors": b"half"}
    fake.publish("studio/ash", files)["files"][1]["variant"] = "fp16"
    project.want({NOIR: "*", INK: "*", "studio/ash": "*"})
    with_sidecars(project)
    assert run("sync").code == 0
    fake.seen.clear()
    assert {*actions(run("sync", "--json")).values()} == {"here"}
    asked = [f"{seen.method} {seen.path.removeprefix('/api/v1/')}" for seen in fake.seen]
    assert asked == [
        "GET adapters?limit=1", "POST references?adapters=true", "POST model-versions/by-id",
    ]  # fmt: skip
    assert {"ash.json", "ash-fp16.json"} <= {*project.files}


def test_many_versions_take_few_requests(fake: FakeHub, project: Folder, run: Run) -> None:
    names = [f"studio/ash-{number}" for number in range(120)]
    for name in names:
        fake.publish(name, {f"{name[7:]}.safetensors": name.encode()})
    project.want(dict.fromkeys(names, "*"))
    with_sidecars(project)
    assert run("sync").code == 0
    fake.adapters[names[7]]["summary"] = "Rain"
    fake.seen.clear()
    done = actions(run("sync", "--json"))
    assert {path for path, action in done.items() if action == "replace"} == {"ash-7.json"}
    assert b"Rain" in project.files["ash-7.json"]
    # Whether it answers, 50 versions each with their adapters, 100 each in Civitai's shape.
    assert len(fake.seen) == 1 + 3 + 2


@pytest.mark.parametrize("missing", ["references", "by-id", "references|by-id", "adapters"])
def test_a_hub_of_an_earlier_release_is_asked_for_each_version(
    fake: FakeHub, project: Folder, run: Run, missing: str
) -> None:
    assert run("sync").code == 0
    newest = dict(project.files)
    for name in ("noir.json", "ink.json"):
        (project.path / name).unlink()
    if missing == "adapters":
        rows = [{"reference": f"{name}@{fake.versions[name][0]['revision']}",
                 "version": fake.versions[name][0]} for name in (NOIR, INK)]  # fmt: skip
        page = json.dumps({"results": rows}).encode()
        fake.answers += [("references", 200, {"Content-Type": "application/json"}, page)]
    else:
        fake.answers += [(missing, 405, {}, b"")] * 10
    done = run("sync", "--json")
    assert (done.code, actions(done)["noir.json"]) == (0, "add"), done.err
    assert project.files == newest


def test_a_plan_does_not_download_pictures(fake: FakeHub, project: Folder, run: Run) -> None:
    planned = actions(run("sync", "--dry-run", "--json"))
    assert fake.requests("/media/") == []
    assert actions(run("sync", "--json")) == planned
    assert planned[PREVIEW] == "add"
    fake.pictures = {"snow.webp": WEBP}
    fake.seen.clear()
    planned = actions(run("sync", "--dry-run", "--json"))
    assert (planned["noir.preview.webp"], fake.requests("/media/")) == ("add", [])
    assert actions(run("sync", "--json"))["noir.preview.webp"] == "add"
    assert PREVIEW not in project.files


def test_progress_is_shown_while_hubs_are_asked(project: Folder) -> None:
    seen: list[Progress] = []
    library.sync(project.path, on_progress=seen.append)
    mine = [one for one in seen if one.name == "sidecars"]
    assert [(one.done, one.total) for one in mine] == [(1, 2), (2, 2)]


@pytest.mark.parametrize("is_due", [True, False])
def test_a_pull_waits_once_for_a_hub_that_does_not_answer(
    fake: FakeHub, project: Folder, run: Run, waits: list[float], is_due: bool
) -> None:
    pull = ("pull", f"{NOIR}@v1", f"{INK}@v1", *PULL[2:])
    assert run(*pull).code == 0
    if is_due:
        for name in ("noir.json", "ink.json"):
            (project.path / name).unlink()
    fake.answers += [("model-versions", 503, {}, b"")] * 100
    fake.answers += [("adapters.limit=1", 503, {}, b"")] * 100
    fake.seen.clear()
    waits.clear()
    done = run(*pull)
    assert (done.code != 0, done.err.count("were not written")) == (is_due, 2 if is_due else 0)
    if is_due:
        assert len(waits) == len(fake.requests("model-versions")) - 1
    else:
        assert len(fake.requests("adapters.limit=1")) == 1
