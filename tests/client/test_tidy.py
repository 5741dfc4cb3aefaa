"""Tidying folders: copies go to the trash, adapters to where a tool looks, and all of it back."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lorary.client.errors import TargetUnusable
from lorary.library import tidying
from lorary.library.index.walking import key_of
from lorary.subfolders import TRASH
from tests.client.tiny import adapter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tool's folder, and a folder of downloads with copies beside it."""
    files = {
        "UI/models/loras/noir.safetensors": adapter(1),
        "UI/models/loras/ink.safetensors": adapter(2),
        "down/noir (1).safetensors": adapter(1),
        "down/noir (1).png": b"picture",
        "down/noir (1).civitai.info": b"{}",
        "down/ink.safetensors": adapter(3),
        "down/ink.preview.png": b"ink",
        "down/checkpoint.safetensors": b"broken",
        "down/fog.safetensors": adapter(4),
        "down/fog.json": b"{}",
        "down/fog.txt": b"foggy",
    }
    for name, data in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    return tmp_path / "in"


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def untrashed(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(folder).items() if TRASH not in name}


def test_a_plan_moves_nothing_and_its_application_loses_nothing(run: Run, folder: Path) -> None:
    before = tree(folder)
    words = ("tidy", folder, "--layout", "comfyui", "--root", folder / "UI")
    planned = run(*words, "--dry-run", "--json").documents
    assert tree(folder) == before
    sources = {Path(row["source"]).relative_to(folder).as_posix(): row for row in planned}
    # The copy with sidecars stays, and moves to where the tool looks.
    assert sources["UI/models/loras/noir.safetensors"]["why"] == "duplicate"
    assert sources["UI/models/loras/noir.safetensors"]["kept"].endswith("noir (1).safetensors")
    assert "down/checkpoint.safetensors" not in sources
    ran = run(*words, "--apply")
    assert ran.code == 0, ran.err
    after = untrashed(folder)
    loras = "UI/models/loras/"
    second = next(
        name for name in after if name.startswith(f"{loras}ink--") and "preview" not in name
    )
    assert {*after} == {
        f"{loras}noir (1).safetensors", f"{loras}noir (1).png", f"{loras}noir (1).civitai.info",
        f"{loras}ink.safetensors", second, second.replace(".safetensors", ".preview.png"),
        f"{loras}fog.safetensors", f"{loras}fog.json", f"{loras}fog.txt",
        "down/checkpoint.safetensors",
    }  # fmt: skip
    assert sorted(tree(folder).values()) == sorted(before.values())
    assert "Everything is tidy." in run(*words).out
    assert run("tidy", "--undo").code == 0
    assert tree(folder) == before
    assert not (folder / TRASH).exists()
    assert "nothing to undo" in run("tidy", "--undo").err


def test_no_command_finds_what_is_in_the_trash(run: Run, fake: FakeHub, folder: Path) -> None:
    """And no tool, which would list it by its ending; its name stays in workflows, says a note."""
    copy = folder / "UI/models/loras/linocut.safetensors"
    copy.write_bytes(adapter(2))
    planned = run("tidy", folder)
    ran = run("tidy", folder, "--apply")
    assert "name a moved copy will no longer find it" in planned.err
    assert "name a moved copy will no longer find it" in ran.err
    assert not copy.exists()
    trash = [path for path in folder.rglob("*") if TRASH in path.parts and path.is_file()]
    assert "linocut.safetensors.trash" in {path.name for path in trash}
    assert not {".safetensors", ".pt", ".ckpt"} & {path.suffix for path in trash}
    # Copies that an earlier release took away have their names.
    trash[0].with_name("old.safetensors").write_bytes(adapter(9))
    workflow = folder / "workflow.json"
    nodes = {"1": {"class_type": "LoraLoader", "inputs": {"lora_name": "old.safetensors"}}}
    workflow.write_text(json.dumps(nodes))
    answer = run("resolve", workflow, "--dir", folder, "--json").document
    assert (answer["state"], answer["path"]) == ("missing", None)
    run("scan", folder)
    for command in ("find", "inspect", "list"):
        rows = run(command, folder, "--json").documents
        assert rows
        assert not [row for row in rows if TRASH in row["path"]], command


def test_what_the_tool_has_already_is_a_copy(run: Run, folder: Path) -> None:
    """Under any name, although the tool's folder is not named, and was never scanned."""
    before = tree(folder)
    words = ("tidy", folder / "down", "--layout", "comfyui", "--root", folder / "UI")
    moves = {Path(row["source"]).name: row for row in run(*words, "--json").documents}
    copy = moves["noir (1).safetensors"]
    assert (copy["why"], TRASH in copy["target"]) == ("duplicate", True)
    assert copy["kept"] == str(folder / "UI/models/loras/noir.safetensors")
    assert run(*words, "--apply").code == 0
    beside = {name for name in untrashed(folder) if name.startswith("UI/models/loras/noir")}
    endings = ("safetensors", "png", "civitai.info")
    assert beside == {f"UI/models/loras/noir.{ending}" for ending in endings}
    assert run("tidy", "--undo").code == 0
    assert tree(folder) == before


def test_sidecars_of_copies_move_to_the_one_that_stays_if_it_has_none(
    run: Run, folder: Path
) -> None:
    more = {
        "UI/models/loras/noir.jpg": b"shown",
        "down/noir (2).safetensors": adapter(1),
        "down/noir (2).civitai.info": b"{ }",
        "down/noir (2).txt": b"text",
    }
    for name, data in more.items():
        (folder / name).write_bytes(data)
    before = tree(folder)
    words = ("tidy", folder / "down", "--layout", "comfyui", "--root", folder / "UI")
    assert run(*words, "--apply").code == 0
    after = untrashed(folder)
    beside = {name: after[name] for name in after if name.startswith("UI/models/loras/noir")}
    assert beside == {
        "UI/models/loras/noir.safetensors": adapter(1), "UI/models/loras/noir.jpg": b"shown",
        "UI/models/loras/noir.civitai.info": b"{}", "UI/models/loras/noir.txt": b"text",
    }  # fmt: skip
    rows = {Path(row["path"]).name: row for row in run("list", "--json").documents}
    assert {*rows["noir.safetensors"]["companions"]} == {
        "noir.civitai.info", "noir.jpg", "noir.txt"
    }  # fmt: skip
    assert run("tidy", "--undo").code == 0
    assert tree(folder) == before


@pytest.mark.parametrize("way", ["--apply", "--undo"])
def test_a_broken_index_does_not_fail_moves_that_were_made(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    words: tuple[object, ...] = ("tidy", folder / "down", "--apply")
    (folder / "down/noir.safetensors").write_bytes(adapter(1))
    if way == "--undo":
        assert run(*words).code == 0
        words = ("tidy", "--undo")

    def locked(*_: object, **__: object) -> None:
        message = "The index is locked."
        raise TargetUnusable(message)

    monkeypatch.setattr("lorary.library.update_index", locked)
    ran = run(*words)
    assert (ran.code, "moved" in ran.out, "The index is locked." in ran.err) == (0, True, True)


def test_the_index_knows_where_files_were_moved(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "UI/models").rename(folder / "moved")  # the tool's folder is created
    words = ("tidy", folder / "down", "--layout", "comfyui", "--root", folder / "UI")

    def paths() -> set[str]:
        rows = run("list", "--json").documents
        return {Path(row["path"]).relative_to(folder).as_posix() for row in rows}

    run(*words)
    before = paths()
    monkeypatch.setattr("lorary.library.index.scanning.read_content", None)
    assert run(*words, "--apply").code == 0
    names = {"noir (1)", "ink", "fog"}
    placed = {f"UI/models/loras/{name}.safetensors" for name in names}
    assert paths() == {*placed, "down/checkpoint.safetensors"}
    row = next(one for one in run("list", "--json").documents if "noir" in one["path"])
    assert sorted(row["companions"]) == ["noir (1).civitai.info", "noir (1).png"]
    assert run("tidy", "--undo").code == 0
    assert paths() == before == {
        "down/checkpoint.safetensors", *(f"down/{name}.safetensors" for name in names),
    }  # fmt: skip


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, marks=() if step in {1, 4, 9, 12} else pytest.mark.long)
        for step in range(18)
    ],
)
def test_a_killed_run_goes_on_or_back(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """A kill may come after any system call that changes a name."""
    before = tree(folder)
    calls = iter(range(1000))

    def dying(real: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object) -> None:
            if next(calls) == step:
                raise SystemExit(137)
            real(*args)

        return call

    words = ("tidy", folder, "--layout", "comfyui", "--root", folder / "UI")
    with monkeypatch.context() as patch:
        for name in ("hardlink_to", "unlink"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        assert run(*words, "--apply").code == 137
    assert {*tree(folder).values()} == {*before.values()}
    if step % 2:
        assert run("tidy", "--undo").code == 0
        assert tree(folder) == before
    else:
        assert run("tidy", "--apply").code == 0
        assert "Everything is tidy." in run(*words).out
        assert sorted(tree(folder).values()) == sorted(before.values())


def test_files_that_changed_or_are_in_the_way_are_left_alone(
    run: Run, folder: Path, home: Path
) -> None:
    words = ("tidy", folder, "--layout", "comfyui", "--root", folder / "UI", "--json")
    moves = {row["source"]: row for row in run(*words).documents}
    stale = [
        tidying.Move(one["source"], one["target"], "0-0-1-1", "layout") for one in moves.values()
    ]
    journal = tidying.new_moves(home, stale)
    before = tree(folder)
    assert all(one.error is not None for one in tidying.apply_moves(journal))
    assert tree(folder) == before
    fog = moves[str(folder / "down/fog.safetensors")]
    Path(fog["target"]).write_bytes(b"mine")
    key = key_of(Path(fog["source"]).stat())
    journal = tidying.new_moves(home, [tidying.Move(fog["source"], fog["target"], key, "layout")])
    (moved,) = tidying.apply_moves(journal)
    assert moved.error is not None
    assert moved.error.code == "target_taken"
    assert Path(fog["target"]).read_bytes() == b"mine"


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM])
def test_disks_without_links_are_moved_to_as_well(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = Path.hardlink_to

    def link(path: Path, source: Path) -> None:
        if code == errno.EPERM or "lorary-part" not in source.name:
            raise OSError(code, os.strerror(code))
        real(path, source)

    monkeypatch.setattr(Path, "hardlink_to", link)
    before = sorted(tree(folder).values())
    ran = run("tidy", folder, "--layout", "comfyui", "--root", folder / "UI", "--apply")
    assert ran.code == 0, ran.err
    assert sorted(tree(folder).values()) == before
    assert "UI/models/loras/fog.safetensors" in tree(folder)


def test_links_into_the_tools_folder_and_twins_stay(run: Run, folder: Path) -> None:
    """A link to a file in place is no other place, and a link in place would break."""
    (folder.parent / "tool").symlink_to(folder / "UI")
    (folder / "UI/models/loras/fog.safetensors").symlink_to(folder / "down/fog.safetensors")
    (folder / "down/FOG.safetensors").write_bytes(adapter(9))  # it has no sidecars
    words = ("--layout", "comfyui", "--root", folder.parent / "tool", "--json")
    assert run("tidy", folder / "UI", *words).documents == []
    moves = run("tidy", folder / "down", *words).documents
    assert sorted(Path(row["source"]).name for row in moves) == [
        "FOG.safetensors", "ink.preview.png", "ink.safetensors", "noir (1).civitai.info",
        "noir (1).png", "noir (1).safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--apply",)])
def test_a_folder_is_needed_and_usage_says_so(run: Run, words: tuple[str, ...]) -> None:
    ran = run("tidy", *words)
    assert (ran.code, "name a folder to tidy: lorary tidy DIR" in ran.err) == (2, True)
    usage = run("tidy", "--help").out.partition("\n\n")[0]
    assert "tidy DIR [DIR ...]" in usage
    assert "lorary tidy --undo" in usage


def test_the_copy_that_a_tool_uses_stays_also_without_a_layout(run: Run, folder: Path) -> None:
    (folder / "down/noir (1).png").unlink()
    (folder / "down/noir (1).civitai.info").unlink()
    (folder / "a (1).safetensors").write_bytes(adapter(8))
    (folder / "a.safetensors").write_bytes(adapter(8))
    moves = run("tidy", folder, "--json").documents
    assert {Path(row["source"]).name for row in moves} == {
        "noir (1).safetensors", "a (1).safetensors",
    }  # fmt: skip


def test_a_copy_stays_if_the_other_one_is_gone(run: Run, folder: Path, home: Path) -> None:
    (folder / "down/noir (1).safetensors").unlink()
    source = folder / "UI/models/loras/noir.safetensors"
    move = tidying.Move(
        str(source), str(folder / "t"), key_of(source.stat()), "duplicate", str(folder / "gone")
    )
    (moved,) = tidying.apply_moves(tidying.new_moves(home, [move]))
    assert moved.error is not None
    assert source.exists()


def test_files_that_lorary_manages_and_links_stay(run: Run, fake: FakeHub, folder: Path) -> None:
    fake.publish("ada/fog", {"fog.safetensors": adapter(4)})
    assert run("pull", "ada/fog@v1", "--to", folder / "pulled").code == 0
    (folder / "linked").symlink_to(folder / "down")
    run("tidy", folder / "down", folder / "pulled", "--apply")
    assert (folder / "pulled" / "fog.safetensors").exists()
    assert not (folder / "down" / "fog.safetensors").exists()
    assert "Everything is tidy." in run("tidy", folder / "linked").out
