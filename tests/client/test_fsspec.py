"""``lorary://`` addresses: lists, ranges, the cache, refusals of writes."""

from __future__ import annotations

import errno
import pickle
from typing import TYPE_CHECKING

import fsspec
import pytest
from fsspec.callbacks import Callback

from lorary.client import errors
from lorary.integrations.fsspec import LoraryFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lorary.client import Hub
    from tests.client.fakehub import FakeHub

NOIR = "studio/noir@v1"
WEIGHTS = f"{NOIR}/noir.safetensors"


@pytest.fixture(autouse=True)
def _registered() -> None:
    """Register it as the entry point does, which ``test_packaging`` checks."""
    fsspec.register_implementation("lorary", LoraryFileSystem, clobber=True)


@pytest.fixture
def fs(fake: FakeHub, weights: bytes, waits: list[float]) -> LoraryFileSystem:
    """The files of two versions."""
    del waits
    first = {"noir.safetensors": weights, "README.md": b"# Noir\n", "samples/a.png": b"png"}
    fake.publish("studio/noir", first)
    fake.publish("studio/noir", {"noir.safetensors": weights[1:]})
    found: LoraryFileSystem = fsspec.filesystem("lorary", skip_instance_cache=True)
    return found


def test_folders_and_files_are_listed(fs: LoraryFileSystem, fake: FakeHub) -> None:
    assert fs.ls("lorary://studio", detail=False) == ["studio/noir"]
    assert fs.ls("studio/noir/", detail=False) == ["studio/noir/noir.safetensors"]
    rows = {row["name"]: row for row in fs.ls(f"lorary://{NOIR}")}
    assert list(rows) == [WEIGHTS, f"{NOIR}/README.md", f"{NOIR}/samples"]
    assert rows[f"{NOIR}/samples"]["type"] == "directory"
    assert fs.ls(f"{NOIR}/samples", detail=False) == [f"{NOIR}/samples/a.png"]
    assert fs.find(NOIR) == [f"{NOIR}/README.md", WEIGHTS, f"{NOIR}/samples/a.png"]
    assert fs.glob(f"lorary://{NOIR}/*.safetensors") == [WEIGHTS]
    assert fs.du(NOIR) == 3_000_000 + 7 + 3
    # A version that never changes is asked for once.
    assert len(fake.requests("versions/v1")) == 1


def test_what_a_path_is(fs: LoraryFileSystem, weights: bytes) -> None:
    told = fs.info(f"lorary://{WEIGHTS}")
    assert (told["type"], told["size"], told["role"]) == ("file", len(weights), "weights")
    assert fs.ukey(WEIGHTS) == told["sha256"]
    assert fs.isdir(NOIR)
    assert fs.isdir("studio")
    assert fs.isdir(f"{NOIR}/samples")
    assert fs.isfile(WEIGHTS)
    assert not fs.exists(f"{NOIR}/none.txt")
    assert not fs.exists("studio/none")
    for path in (f"{NOIR}/none.txt", "studio/none/a", "studio/noir@v9/a", "", "no one", "a b/c/d"):
        with pytest.raises(FileNotFoundError):
            fs.info(path)
        with pytest.raises(FileNotFoundError):
            fs.open(path or "x y")
    with pytest.raises(IsADirectoryError):
        fs.open(f"{NOIR}/samples")


def test_an_opened_file_is_read_in_ranges(
    fs: LoraryFileSystem, fake: FakeHub, weights: bytes, home: Path
) -> None:
    with fs.open(WEIGHTS, block_size=1000) as file:
        file.seek(2_000_000)
        assert file.read(10) == weights[2_000_000:2_000_010]
        file.seek(-5, 2)
        assert file.read() == weights[-5:]
    assert fs.cat_file(WEIGHTS, start=8, end=40) == weights[8:40]
    assert fs.cat_file(WEIGHTS, start=-3) == weights[-3:]
    assert fs.cat_file(WEIGHTS, start=40, end=8) == b""
    assert fake.file_bytes_sent < 5_000
    assert fs.read_block(WEIGHTS, 100, 50) == weights[100:150]
    assert not (home / "cache" / "blobs").exists()
    with fsspec.open(f"lorary://{NOIR}/README.md", "rt") as text:
        assert text.read() == "# Noir\n"
    with fs.open(WEIGHTS, block_size=700_000) as file:
        assert file.read() == weights


def test_whole_files_are_verified_and_come_from_the_cache(
    fs: LoraryFileSystem, fake: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    fs.get(f"lorary://{NOIR}/", str(tmp_path / "noir"), recursive=True)
    assert (tmp_path / "noir" / "noir.safetensors").read_bytes() == weights
    assert (tmp_path / "noir" / "samples" / "a.png").read_bytes() == b"png"
    sent = fake.file_bytes_sent
    assert fs.cat(WEIGHTS) == weights
    with fs.open(WEIGHTS) as file:
        file.seek(100)
        assert file.read(4) == weights[100:104]
    assert fs.cat_file(WEIGHTS, start=5, end=9) == weights[5:9]
    assert fake.file_bytes_sent == sent
    fake.flip_at = 100
    with pytest.raises(errors.Corrupt):
        fs.get_file("studio/noir/noir.safetensors", str(tmp_path / "flipped"))
    assert not (tmp_path / "flipped").exists()


def test_a_download_reports_its_progress(fs: LoraryFileSystem, tmp_path: Path) -> None:
    callback = Callback()
    fs.get_file(WEIGHTS, str(tmp_path / "a"), callback=callback)
    assert (callback.size, callback.value) == (3_000_000, 3_000_000)


def test_cached_files_are_read_offline(
    fs: LoraryFileSystem, hub: Hub, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.pull(NOIR)
    monkeypatch.setenv("LORARY_OFFLINE", "1")
    assert fs.cat(WEIGHTS) == weights
    assert len(fs.ls(NOIR)) == 3
    with pytest.raises(errors.Offline):
        fs.cat("studio/noir/noir.safetensors")


@pytest.mark.parametrize(
    "write",
    [
        lambda fs: fs.open(WEIGHTS, "wb"),
        lambda fs: fs.open(WEIGHTS, "ab"),
        lambda fs: fs.open(f"{NOIR}/new.txt", "w"),
        lambda fs: fs.pipe(WEIGHTS, b""),
        lambda fs: fs.rm(WEIGHTS),
        lambda fs: fs.rm(NOIR, recursive=True),
        lambda fs: fs.mv(WEIGHTS, f"{NOIR}/b"),
        lambda fs: fs.copy(WEIGHTS, f"{NOIR}/b"),
        lambda fs: fs.mkdir(f"{NOIR}/b"),
        lambda fs: fs.makedirs(f"{NOIR}/b"),
        lambda fs: fs.touch(WEIGHTS),
        lambda fs: fs.put(__file__, f"{NOIR}/b.py"),
    ],
)
def test_writes_are_refused(
    fs: LoraryFileSystem, fake: FakeHub, write: Callable[[LoraryFileSystem], object]
) -> None:
    with pytest.raises(OSError, match=r"read-only; publish versions with lorary\.push") as caught:
        write(fs)
    assert caught.value.errno == errno.EROFS
    assert {seen.method for seen in fake.seen} <= {"GET"}


def test_a_hub_that_misbehaves_is_named(
    fs: LoraryFileSystem, fake: FakeHub, weights: bytes
) -> None:
    latest = "studio/noir/noir.safetensors"
    fake.ignores_range = True
    assert fs.cat_file(latest, start=0, end=4) == weights[1:5]
    with pytest.raises(OSError, match="does not serve parts"):
        fs.cat_file(latest, start=10, end=20)
    fake.ignores_range = False
    fake.cuts = [3]
    assert fs.cat_file(latest, start=10, end=20) == weights[11:21]
    fake.answers.append(("files/", 206, {"Content-Range": "bytes 0-9/10"}, b"0123456789"))
    with pytest.raises(OSError, match="does not serve parts"):
        fs.cat_file(latest, start=10, end=20)


def test_it_can_be_sent_to_other_processes(fs: LoraryFileSystem, weights: bytes) -> None:
    del fs
    mine = fsspec.filesystem("lorary")
    again = pickle.loads(pickle.dumps(mine))
    assert again.cat_file(WEIGHTS, start=0, end=3) == weights[:3]
    fsspec.filesystem("lorary").clear_instance_cache()


def test_a_message_ends_once(fs: LoraryFileSystem, fake: FakeHub) -> None:
    body = b'{"code":"not_found","detail":"Its versions are v1."}'
    fake.answers = [("v9", 404, {}, body)]
    with pytest.raises(FileNotFoundError, match=r"Its versions are v1: "):
        fs.ls("studio/noir@v9")
