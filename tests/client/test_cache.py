"""The cache across kills at its narrowest moments."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lorary.client.errors import TargetUnusable
from lorary.client.transfers import cache
from lorary.client.transfers.cache import Cache
from tests.client.conftest import parts, sha
from tests.client.projects import Folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from lorary.client import Hub
    from tests.client.conftest import Ran
    from tests.client.fakehub import FakeHub

    Run = Callable[..., Ran]

NAME = "studio/noir"
PATH = "noir.safetensors"


class Killed(BaseException):
    """The process ends here."""


def heed_permissions(path: Path, mode: str) -> FileIO:
    """Open as the system does for whoever is not root."""
    if path.exists() and not path.stat().st_mode & stat.S_IWUSR:
        raise PermissionError(path)
    return FileIO(path, mode)


def test_kill_before_the_rename_leaves_a_part_that_can_be_written(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_args: object) -> None:
        raise Killed

    fake.publish(NAME, {PATH: weights})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        with pytest.raises(Killed):
            hub.pull(NAME)
    assert parts(home)[0].stat().st_mode & stat.S_IWUSR
    assert hub.pull(NAME).files[0].bytes_fetched == 0


def test_kill_after_the_rename_leaves_a_blob_that_becomes_read_only(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_args: object) -> None:
        raise Killed

    fake.publish(NAME, {PATH: weights})
    with monkeypatch.context() as patch:
        patch.setattr(cache.Cache, "_seal", kill)
        with pytest.raises(Killed):
            hub.pull(NAME)
    pulled = hub.pull(NAME)
    assert pulled.files[0].bytes_fetched == 0
    assert not (home / "cache" / "blobs" / sha(weights)).stat().st_mode & stat.S_IWUSR


@pytest.mark.parametrize("is_ours", [True, False])
def test_part_that_is_read_only_is_taken_up(
    hub: Hub,
    fake: FakeHub,
    home: Path,
    weights: bytes,
    is_ours: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Earlier releases could be killed between making a part read-only and renaming it."""

    def refuse(path: Path, _mode: int) -> None:
        raise PermissionError(path)

    fake.publish(NAME, {PATH: weights})
    part = Cache(home / "cache").part(sha(weights))
    part.parent.mkdir(parents=True)
    part.write_bytes(weights)
    part.chmod(0o444)
    opener = "lorary.client.transfers.cache.FileIO"
    monkeypatch.setattr(opener, heed_permissions)
    if not is_ours:
        monkeypatch.setattr(Path, "chmod", refuse)
    pulled = hub.pull(NAME)
    assert pulled.path.read_bytes() == weights
    assert pulled.files[0].bytes_fetched == (0 if is_ours else len(weights))
    assert parts(home) == []


def test_names_of_windows_devices_are_no_folders(hub: Hub, fake: FakeHub, home: Path) -> None:
    fake.publish("con/aux.v2", {PATH: b"1"})
    fake.publish("con_/aux_.v2", {PATH: b"2"})
    first, second = hub.pull("con/aux.v2"), hub.pull("con_/aux_.v2")
    snapshots = home / "cache" / "snapshots"
    assert first.folder.relative_to(snapshots).parts[:2] == ("con_", "aux_.v2")
    assert second.folder.relative_to(snapshots).parts[:2] == ("con__", "aux__.v2")
    assert (first.path.read_bytes(), second.path.read_bytes()) == (b"1", b"2")


def names(folder: Path) -> set[str]:
    return {place.relative_to(folder).as_posix() for place in folder.rglob("*")}


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORARY_CACHE", "off")


@pytest.mark.parametrize("can_link", [True, False])
def test_without_a_cache_files_are_written_straight_to_their_folder(
    off: None,
    run: Run,
    fake: FakeHub,
    home: Path,
    weights: bytes,
    can_link: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError

    if not can_link:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
        monkeypatch.setattr(shutil, "copyfile", refuse)
    fake.publish(NAME, {PATH: weights})
    fake.cuts = [1_000_000] * 5
    to = tmp_path / "loras"
    assert run("pull", NAME, "--to", to).code == 0
    assert fake.file_bytes_sent == len(weights)
    assert (to / PATH).read_bytes() == weights
    assert (to / PATH).stat().st_mode & stat.S_IWUSR
    assert names(to) == {PATH, ".lorary.json", ".lorary.lock"}
    assert not [place for place in (home / "cache").rglob("*") if sha(weights) == place.name]


def test_without_a_cache_another_pull_may_remove_the_folder_of_parts(
    off: None, hub: Hub, fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one finishes while this one waits for its lock."""
    holds = Cache.holds

    def finish_elsewhere(cache: Cache, *facts: object, **options: bool) -> bool:
        is_held = holds(cache, *facts, **options)  # type: ignore[arg-type] # as it was called
        cache.discard([])
        assert not cache.root.exists()
        return is_held

    monkeypatch.setattr(Cache, "holds", finish_elsewhere)
    fake.publish(NAME, {PATH: b"noir"})
    assert hub.pull(NAME, to=tmp_path / "loras").path.read_bytes() == b"noir"


def test_without_a_cache_an_interrupted_pull_and_sync_resume(
    off: None,
    run: Run,
    fake: FakeHub,
    weights: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.publish("studio/same", {"same.safetensors": weights})
    folder = Folder(tmp_path / "project")
    folder.want({NAME: "v1", "studio/same": "v1"})
    monkeypatch.chdir(folder.path)
    fake.cuts = [1_000_000, *[0] * 50]
    assert run("sync").code == 5
    (part,) = folder.path.glob(".lorary-parts/blobs/*.incomplete")
    assert part.stat().st_size == 1_000_000
    fake.cuts = []
    assert run("sync").code == 0
    assert fake.file_bytes_sent == len(weights)
    assert folder.files == {PATH: weights, "same.safetensors": weights}
    assert not (folder.path / ".lorary-parts").exists()


@pytest.mark.parametrize("words", [["pull", NAME], ["pull", "pack:studio/dusk"]])
def test_without_a_cache_a_folder_is_needed(
    off: None, run: Run, fake: FakeHub, words: list[str]
) -> None:
    ran = run(*words)
    assert (ran.code, "name a folder for the files, --to DIR" in ran.err) == (2, True)
    assert fake.seen == []


def test_the_cache_is_marked_for_backup_programs(hub: Hub, fake: FakeHub, home: Path) -> None:
    fake.publish(NAME, {PATH: b"1"})
    hub.pull(NAME)
    tag = (home / "cache" / "CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")


def test_files_are_linked_else_cloned_else_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(*_args: object) -> None:
        tried.append("link")
        raise OSError

    def clone(blob: Path, part: Path) -> None:
        tried.append("clone")
        part.write_bytes(b"")
        if len(tried) < 4:
            raise OSError
        part.write_bytes(blob.read_bytes())

    blob, target = tmp_path / "x" / "blob", tmp_path / "x" / "target"
    blob.parent.mkdir()
    blob.write_bytes(b"bytes")
    cache.place(blob, target)
    assert target.samefile(blob)
    target.unlink()
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(cache, "_clone", clone)
    for _ in range(2):
        cache.place(blob, target)
        assert (target.read_bytes(), target.samefile(blob)) == (b"bytes", False)
    assert tried == ["link", "clone"] * 2
    assert names(blob.parent) == {"blob", "target"}


def test_a_file_that_a_program_has_open_is_not_replaced_and_is_named(
    hub: Hub, fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows, a program that loads the weights keeps them from being replaced."""
    replace, place = Path.replace, tmp_path / "loras" / PATH
    fake.publish(NAME, {PATH: b"old"})
    fake.publish(NAME, {PATH: b"new"})
    hub.pull(f"{NAME}@v1", to=place.parent)

    def refuse(part: Path, target: Path) -> Path:
        if target == place:
            raise PermissionError(errno.EACCES, "Access is denied", os.fspath(target))
        return replace(part, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(TargetUnusable, match="cannot be written: Access is denied"):
            hub.pull(f"{NAME}@v2", to=place.parent, force=True)
    assert place.read_bytes() == b"old"
    assert list(place.parent.glob("*.part")) == []
    hub.pull(f"{NAME}@v2", to=place.parent, force=True)
    assert place.read_bytes() == b"new"
