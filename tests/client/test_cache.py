"""The cache across kills at its narrowest moments."""

from __future__ import annotations

import stat
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lorary.client.transfers import cache
from lorary.client.transfers.cache import Cache
from tests.client.conftest import parts, sha

if TYPE_CHECKING:
    from lorary.client import Hub
    from tests.client.fakehub import FakeHub

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
        patch.setattr(cache, "_sync_folder", kill)
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
