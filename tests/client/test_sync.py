"""lorary sync and verify: a folder becomes what lorary.lock says, whatever happens on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

import lorary
from lorary import library
from lorary.cli import main
from lorary.client.errors import Incomplete, LockOutdated
from lorary.client.transfers import folders as transfer_folders
from lorary.client.transfers.folders import RECORD
from lorary.library.layouts import LAYOUTS
from tests.client.conftest import CLI, parts, sha
from tests.client.projects import Folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lorary.client import Progress
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NOIR, INK = "studio/noir", "studio/ink"
PATH = "noir.safetensors"


@pytest.fixture
def project(fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A project of two adapters, of which one has a generic file name."""
    fake.publish(NOIR, {PATH: b"noir v1", "README.md": b"# Noir"})
    fake.publish(INK, {"pytorch_lora_weights.safetensors": b"ink"})
    folder = Folder(tmp_path / "project")
    folder.want({NOIR: "*", INK: "*"})
    monkeypatch.chdir(folder.path)
    return folder


def actions(done: Ran) -> dict[str, str]:
    return {row["path"]: row["action"] for row in done.documents}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_has_its_folder(project: Folder, run: Run, layout: str) -> None:
    project.want({NOIR: "v1", INK: "*"}, layout=layout, root="Tool")
    assert run("sync").code == 0
    base = f"Tool/{LAYOUTS[layout]}".rstrip("/")
    assert project.files == {
        f"{base}/noir.safetensors": b"noir v1",
        f"{base}/studio--ink.safetensors": b"ink",
    }


def test_a_second_sync_does_nothing_and_asks_nobody(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    first = run("sync", "--json")
    assert actions(first) == {PATH: "add", "studio--ink.safetensors": "add"}
    (row,) = [row for row in first.documents if row["path"] == PATH]
    assert row == {
        "path": PATH, "local_path": str(project.path / PATH), "action": "add", "planned": False,
        "adapter": NOIR, "version": "v1", "before": None, "size": 7, "sha256": sha(b"noir v1"),
        "bytes_fetched": 7,
    }  # fmt: skip
    before = {place: place.stat().st_mtime_ns for place in project.path.rglob("*")}
    fake.seen.clear()
    assert run("sync").out == "2 here already.\n"
    assert set(actions(run("sync", "--frozen", "--prune", "--json")).values()) == {"here"}
    assert fake.seen == []
    assert {place: place.stat().st_mtime_ns for place in project.path.rglob("*")} == before


def test_a_plan_is_shown_and_nothing_is_written(project: Folder, run: Run) -> None:
    done = run("sync", "--dry-run")
    assert "+ noir.safetensors  studio/noir v1, 7 bytes\n" in done.out
    assert done.out.endswith("2 to add.\n")
    assert [place.name for place in project.path.iterdir()] == ["lorary.toml"]
    steps = lorary.sync(dry_run=True).steps
    assert [step.action for step in steps] == ["add", "add"]


def test_frozen_fails_if_the_lock_would_change(fake: FakeHub, project: Folder, run: Run) -> None:
    missing = run("sync", "--frozen", "--json")
    assert (missing.code, missing.document["error"]["code"]) == (1, "lock_outdated")
    assert f"{project.path} has no lorary.lock." in missing.document["error"]["message"]
    with pytest.raises(LockOutdated, match=r"has no lorary\.lock"):
        lorary.sync(frozen=True)
    run("lock")
    before = project.lock_path.read_bytes()
    changes = [
        {NOIR: "*"},
        {NOIR: "*", INK: "*", "studio/new": "*"},
        {NOIR: "^v2", INK: "*"},
        {NOIR: "v2", INK: "*"},
        {NOIR: "stable", INK: "*"},
        {NOIR: "0" * 40, INK: "*"},
        {NOIR: "*", INK: "*", "layout": "comfyui"},
        {NOIR: "*", INK: "*", "hub": "https://hub.example"},
    ]
    fake.seen.clear()
    for wanted in changes:
        adapters = {name: text for name, text in wanted.items() if "/" in name}
        layout, hub = wanted.get("layout", "flat"), wanted.get("hub", fake.url)
        project.want(adapters, layout=layout, hub=hub)
        done = run("sync", "--frozen", "--json")
        assert (done.code, done.document["error"]["code"]) == (1, "lock_outdated"), wanted
    with pytest.raises(LockOutdated):
        lorary.sync(frozen=True)
    assert (project.lock_path.read_bytes(), project.files, fake.seen) == (before, {}, [])


def test_a_frozen_sync_elsewhere_gives_the_same_bytes(
    fake: FakeHub, project: Folder, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.publish("ada/noir", {PATH: b"another noir"})
    project.want({NOIR: "*", INK: "*", "ada/noir": "*"}, layout="forge", root="UI")
    run("sync")
    fake.publish(NOIR, {PATH: b"noir v2"})
    other = Folder(tmp_path / "other")
    other.path.mkdir()
    for name in ("lorary.toml", "lorary.lock"):
        (other.path / name).write_bytes((project.path / name).read_bytes())
    monkeypatch.setenv("LORARY_HOME", str(tmp_path / "home2"))
    monkeypatch.chdir(other.path)
    assert run("sync", "--frozen").code == 0
    assert len(other.files) == 3
    assert other.files == project.files
    assert other.lock_path.read_bytes() == project.lock_path.read_bytes()


def test_an_update_replaces_the_file_that_sync_wrote(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    run("sync")
    fake.publish(NOIR, {PATH: b"noir v2"})
    run("update")
    assert "~ noir.safetensors  studio/noir v2, 7 bytes, instead of v1" in run("sync").out
    assert project.files[PATH] == b"noir v2"
    assert [*project.files] == [PATH, "studio--ink.safetensors"]


def test_files_of_others_stay_and_the_rest_is_done(project: Folder, run: Run) -> None:
    (project.path / PATH).write_bytes(b"somebody else's")
    done = run("sync", "--json")
    assert done.code == 1
    assert actions(done) == {PATH: "failed", "studio--ink.safetensors": "add"}
    assert "was left alone" in done.err
    assert project.files == {PATH: b"somebody else's", "studio--ink.safetensors": b"ink"}
    with pytest.raises(Incomplete) as caught:
        lorary.sync()
    assert [*caught.value.errors] == [PATH]
    assert run("sync", "--force").code == 0
    assert project.files[PATH] == b"noir v1"


def test_what_pull_wrote_is_used_but_not_replaced(fake: FakeHub, project: Folder, run: Run) -> None:
    run("pull", NOIR, "--to", ".")
    assert run("sync").out.endswith("1 here already, 1 added.\n")
    fake.publish(NOIR, {PATH: b"noir v2"})
    run("update")
    done = run("sync")
    assert (done.code, "which `lorary pull` wrote" in done.err) == (1, True)
    assert project.files[PATH] == b"noir v1"


def test_the_right_bytes_from_elsewhere_are_used_as_they_are(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    (project.path / PATH).write_bytes(b"noir v1")
    assert run("sync").out.endswith("1 here already, 1 added.\n")
    assert len(fake.requests("files/")) == 1
    project.want({INK: "*"})
    assert run("sync", "--prune").out == "1 here already.\n"
    assert project.files[PATH] == b"noir v1"


def test_an_edited_file_is_neither_replaced_nor_removed(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    run("sync")
    place = project.path / PATH
    place.unlink()
    place.write_bytes(b"my own edit")
    assert run("sync").code == 1
    fake.publish(NOIR, {PATH: b"noir v2"})
    run("update")
    assert run("sync").code == 1
    project.want({INK: "*"})
    assert run("sync", "--prune").out.endswith("1 here already, 1 no longer locked.\n")
    assert place.read_bytes() == b"my own edit"


def test_the_file_of_a_former_version_that_had_another_name_is_named(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    run("sync")
    fake.publish(NOIR, {"noir2.safetensors": b"noir v2"})
    run("update")
    moved = run("sync")
    assert moved.out.startswith("? noir.safetensors  v1\n+ noir2.safetensors  studio/noir v2")
    line = f"lorary: {PATH} of {NOIR} v1 is still there: workflows that name it use that version\n"
    assert moved.err.count(line) == 1
    assert "--prune removes" in moved.err
    assert run("sync", "--prune").err == ""
    assert PATH not in project.files


def test_prune_removes_what_an_earlier_sync_wrote_and_nothing_else(
    project: Folder, run: Run
) -> None:
    run("sync")
    (project.path / "mine.safetensors").write_bytes(b"mine")
    project.want({INK: "*"}, layout="comfyui")
    told = run("sync")
    assert told.out.endswith("1 added, 2 no longer locked.\n")
    assert "--prune removes" in told.err
    assert "2 to remove" in run("sync", "--prune", "--dry-run").out
    assert len(project.files) == 4
    done = run("sync", "--prune", "--json")
    assert sorted(row["path"] for row in done.documents if row["action"] == "remove") == [
        PATH, "studio--ink.safetensors",
    ]  # fmt: skip
    assert project.files == {
        "mine.safetensors": b"mine", "models/loras/studio--ink.safetensors": b"ink",
    }  # fmt: skip
    assert run("sync", "--prune").out == "1 here already.\n"


def test_a_project_does_not_prune_the_files_of_another_one(
    project: Folder, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = str(tmp_path / "shared")
    project.want({NOIR: "*", INK: "*"}, root=shared)
    run("sync")
    other = Folder(tmp_path / "other")
    other.want({NOIR: "*"}, root=shared)
    monkeypatch.chdir(other.path)
    run("sync")
    other.want({}, root=shared)
    assert run("sync", "--prune").out == "Nothing is locked.\n"
    assert sorted(Folder(tmp_path / "shared").files) == [PATH, "studio--ink.safetensors"]


def test_a_project_that_was_moved_keeps_its_files(
    fake: FakeHub, project: Folder, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.want({NOIR: "*", INK: "*"}, root=str(tmp_path / "UI"))
    run("sync")
    fake.publish(NOIR, {PATH: b"noir v2"})
    moved = Folder(project.path.rename(tmp_path / "moved"))
    monkeypatch.chdir(moved.path)
    run("update")
    assert run("sync").out.endswith("1 here already, 1 replaced.\n")
    moved.want({}, root=str(tmp_path / "UI"))
    assert run("sync", "--prune").out.endswith("2 removed.\n")


@pytest.mark.skipif(os.name != "posix", reason="uses symbolic links")
def test_layouts_in_one_folder_are_one_folder(project: Folder, run: Run) -> None:
    """Where case is ignored, Models/Lora and models/Lora are the same; a link stands for that."""
    (project.path / "models").mkdir()
    (project.path / "Models").symlink_to("models")
    project.want({NOIR: "*"}, layout="swarmui")
    run("sync")
    assert run("sync", "--prune").out == "1 here already.\n"
    assert (project.path / "models/Lora" / PATH).read_bytes() == b"noir v1"


def test_a_failed_download_is_named_and_the_others_are_done(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    run("lock")
    sha256 = sha(b"noir v1")
    fake.blobs[sha256] = b"noir v0"
    done = run("sync")
    assert (done.code, "noir.safetensors" in done.err) == (1, True)
    assert project.files == {"studio--ink.safetensors": b"ink"}
    fake.blobs[sha256] = b"noir v1"
    assert run("sync").code == 0


def test_a_locked_folder_can_be_made_without_the_hub_from_the_cache(
    project: Folder, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sync")
    for name in project.files:
        (project.path / name).unlink()
    text = project.lock_path.read_text("utf-8")
    nobody = "http://127.0.0.1:9"
    hub = project.lock["file"][0]["hub"]
    project.lock_path.write_text(text.replace(hub, nobody), encoding="utf-8")
    monkeypatch.setenv("LORARY_ENDPOINT", nobody)
    assert run("sync", "--frozen").code == 0
    assert len(project.files) == 2
    project.want({NOIR: "*", INK: "*", "studio/new": "*"})
    done = run("lock")
    assert (done.code, "Nothing answers" in done.err) == (5, True)
    assert run("outdated").code == 5


def test_two_adapters_with_the_same_bytes_are_downloaded_once(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    fake.publish("ada/copy", {"copy.safetensors": b"noir v1"})
    project.want({NOIR: "*", "ada/copy": "*"})
    done = run("sync")
    assert (done.out.endswith("2 added.\n"), done.err) == (True, "")
    assert len(fake.requests("files/")) == 1


def test_a_root_that_is_created_is_named_and_one_that_is_a_file_refused(
    project: Folder, run: Run
) -> None:
    project.want({NOIR: "*"}, layout="comfyui", root="../elsewhere")
    root = project.path.parent / "elsewhere"
    planned = run("sync", "--dry-run")
    assert planned.err == f"lorary: {root} (“root” in lorary.toml) will be created\n"
    assert not root.exists()
    done = run("sync", "--json")
    assert done.err == f"lorary: {root} (“root” in lorary.toml) was created\n"
    assert done.document["local_path"] == str(root / "models" / "loras" / "noir.safetensors")
    assert run("sync").err == ""
    project.want({NOIR: "*"}, layout="comfyui", root="ConfyUI")
    (project.path / "ConfyUI").write_bytes(b"")
    done = run("sync", "--json")
    assert (done.code, done.document["error"]["code"]) == (1, "target_unusable")


def test_syncs_at_the_same_time_do_not_get_in_each_others_way(
    fake: FakeHub, project: Folder, environment: dict[str, str]
) -> None:
    names = [f"studio/b{number}" for number in range(8)]
    for name in names:
        fake.publish(name, {"lora.safetensors": name.encode() * 40_000})
    project.want(dict.fromkeys(names, "*"))
    running = [sync_in(project, environment) for _ in range(3)]
    for process in running:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert {name: sha(data) for name, data in project.files.items()} == {
        row["path"]: row["sha256"] for row in project.lock["file"]
    }
    assert fake.file_bytes_sent == sum(row["size"] for row in project.lock["file"])


def before_the_lock(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something just before the folder is locked for the first time, as another process."""
    locked = transfer_folders.Folder.locked

    def first(folder: transfer_folders.Folder) -> AbstractContextManager[None]:
        monkeypatch.setattr(transfer_folders.Folder, "locked", locked)
        act()
        return locked(folder)

    monkeypatch.setattr(transfer_folders.Folder, "locked", first)


def test_what_another_process_pruned_meanwhile_is_no_error(
    project: Folder, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sync")
    project.want({INK: "*"})
    run("lock")
    before_the_lock(monkeypatch, lambda: library.sync(project.path, prune=True))
    done = run("sync", "--prune")
    assert (done.code, done.out) == (0, "1 here already.\n")


def test_a_file_that_is_replaced_while_it_is_adopted_is_not_taken_for_the_locked_one(
    fake: FakeHub, project: Folder, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.want({NOIR: "v1"})
    run("sync")
    (project.path / ".lorary.json").unlink()
    fake.publish(NOIR, {PATH: b"noir v2"})
    before_the_lock(
        monkeypatch, lambda: run("pull", f"{NOIR}@v2", "--to", str(project.path), "--force")
    )
    run("sync")
    assert project.files[PATH] == b"noir v2"
    assert "which `lorary pull` wrote" in run("sync").err


def test_a_file_that_is_removed_while_it_is_adopted_is_no_error(
    project: Folder, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sync")
    (project.path / ".lorary.json").unlink()
    before_the_lock(monkeypatch, (project.path / PATH).unlink)
    assert run("sync").code == 0
    assert run("sync").out.endswith("1 here already, 1 added.\n")


def test_verify_hashes_every_file(project: Folder, run: Run) -> None:
    assert run("verify").code == 3
    run("sync")
    assert run("verify").out == "2 ok.\n"
    place = project.path / PATH
    found = place.stat()
    place.chmod(0o644)
    place.write_bytes(b"noir v?")
    os.utime(place, ns=(found.st_atime_ns, found.st_mtime_ns))
    (project.path / "studio--ink.safetensors").unlink()
    done = run("verify", "--json")
    assert done.code == 1
    assert {row["path"]: row["state"] for row in done.documents} == {
        PATH: "changed", "studio--ink.safetensors": "missing",
    }  # fmt: skip
    assert run("verify").out.splitlines()[-1] == "1 changed, 1 missing."
    assert run("sync", "--verify").code == 0
    assert run("verify").code == 0


def sync_in(folder: Folder, environment: dict[str, str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*CLI, "sync", "--prune"], stdout=pipe, stderr=pipe, text=True, env=environment,
        cwd=folder.path,
    )  # fmt: skip


@pytest.mark.parametrize(
    "kills", [4, pytest.param(25, marks=(pytest.mark.long, pytest.mark.timeout(3600)))]
)
def test_a_sync_that_is_killed_again_and_again_comes_out_right(
    fake: FakeHub, project: Folder, home: Path, environment: dict[str, str], kills: int
) -> None:
    chance = random.Random(11)
    names = [f"studio/a{number}" for number in range(12)]
    for name in names:
        for _ in range(2):
            fake.publish(name, {"lora.safetensors": chance.randbytes(400_000)})
    for wanted in ("v1", "v2"):
        project.want(dict.fromkeys(names, wanted), layout="comfyui")
        fake.slow_s = 0.01
        for _ in range(kills):
            process = sync_in(project, environment)
            time.sleep(chance.uniform(0.15, 0.6))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        fake.slow_s = 0
        process = sync_in(project, environment)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert {name: sha(data) for name, data in project.files.items()} == {
            row["path"]: row["sha256"] for row in project.lock["file"]
        }
    assert set(project.versions.values()) == {"v2"}
    assert parts(home) == []


def test_a_replacement_that_was_announced_and_then_killed_is_done_again(
    fake: FakeHub, project: Folder, run: Run
) -> None:
    run("sync")
    fake.publish(NOIR, {PATH: b"noir v2, longer"})
    run("update")
    record = project.path / RECORD
    rows = json.loads(record.read_bytes())
    row = rows["files"][PATH]
    row |= {"replaces": row["sha256"], "sha256": sha(b"noir v2, longer"), "size": 15, "mtime_ns": 0}
    record.write_text(json.dumps(rows), encoding="ascii")
    assert run("sync").out.endswith("1 here already, 1 replaced.\n")
    assert project.files[PATH] == b"noir v2, longer"
    assert "replaces" not in json.loads(record.read_bytes())["files"][PATH]


@pytest.mark.usefixtures("project")
def test_an_interrupted_sync_says_how_to_resume(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lorary.library.syncing.Sync.run", interrupt)
    assert main(["sync"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.usefixtures("project")
def test_progress_of_many_files_is_one(project: Folder) -> None:
    seen: list[Progress] = []
    synced = lorary.sync(project.path, jobs=2, on_progress=seen.append)
    assert [change.version for change in synced.changes] == ["v1", "v1"]
    assert {update.stage for update in seen} == {"check", "fetch"}
    assert lorary.sync(project.path, frozen=True).changes == ()
