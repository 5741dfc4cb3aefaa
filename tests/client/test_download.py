"""Pulling over a line that breaks, from a hub that errs or lies, by processes that die."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from lorary.client import errors
from lorary.client.transfers import download
from lorary.client.transfers.cache import Cache
from tests.client.conftest import parts, sha

if TYPE_CHECKING:
    from pathlib import Path

    from lorary.client import Hub
    from tests.client.fakehub import FakeHub

NAME = "studio/noir"
PATH = "noir.safetensors"
MIB = 1024 * 1024


def test_pulled_file_is_verified_cached_and_linked(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes, tmp_path: Path
) -> None:
    version = fake.publish(NAME, {PATH: weights, "docs/README.md": b"# Noir"})
    pulled = hub.pull(NAME)
    folder = home / "cache" / "snapshots" / "studio" / "noir" / version["revision"]
    assert pulled.folder == folder
    assert pulled.path == folder / PATH
    assert pulled.path.read_bytes() == weights
    assert (folder / "docs" / "README.md").read_bytes() == b"# Noir"
    assert [file.bytes_fetched for file in pulled.files] == [len(weights), 6]
    again = hub.pull(f"{NAME}@v1", to=tmp_path / "out")
    assert [file.bytes_fetched for file in again.files] == [0]
    assert again.path == tmp_path / "out" / PATH
    assert again.path.samefile(home / "cache" / "blobs" / sha(weights))
    assert parts(home) == []


def test_cut_connection_goes_on_where_it_broke(
    hub: Hub, fake: FakeHub, weights: bytes, waits: list[float]
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.cuts = [0, 1, 700_000, 1_500_000]
    pulled = hub.pull(NAME)
    assert pulled.path.read_bytes() == weights
    fetched = pulled.files[0].bytes_fetched
    assert fetched == len(weights)
    assert fake.file_bytes_sent - fetched <= 4 * MIB
    asked = [seen.headers.get("Range") for seen in fake.requests("files/")]
    assert asked[0] is None
    assert all(text is not None and text.startswith("bytes=") for text in asked[2:])
    assert fake.requests("files/")[-1].headers["If-Range"] == f'"{sha(weights)}"'
    assert len(waits) == 4


def test_line_that_never_brings_anything_is_given_up(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.cuts = [500_000, *[0] * 20]
    with pytest.raises(errors.Unreachable, match="were kept: run this again to resume"):
        hub.pull(NAME)
    assert parts(home)[0].stat().st_size == 500_000
    fake.cuts = []
    assert hub.pull(NAME).files[0].bytes_fetched == len(weights) - 500_000


def test_a_hub_that_stays_away_is_asked_five_times_in_all(
    hub: Hub, fake: FakeHub, weights: bytes, waits: list[float]
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.answers = [("files/", 502, {}, b"")] * 30
    with pytest.raises(errors.ServerFault) as caught:
        hub.pull(NAME)
    assert "received bytes" not in caught.value.detail
    assert (len(fake.requests("files/")), len(waits)) == (5, 4)


@pytest.mark.parametrize("spot", [0, 1_234_567, 2_999_999])
def test_flipped_bit_is_found_and_nothing_is_kept(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes, tmp_path: Path, spot: int
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.flip_at = spot
    with pytest.raises(errors.Corrupt, match="not the ones that the version lists"):
        hub.pull(NAME, to=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert list((home / "cache" / "blobs").iterdir()) == []
    fake.flip_at = None
    assert hub.pull(NAME, to=tmp_path / "out").path.read_bytes() == weights


def test_file_that_changes_on_the_hub_is_never_glued_together(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.cuts = [1_000_000]
    fake.replacement = bytes(reversed(weights))
    with pytest.raises(errors.Corrupt, match="changed on the hub"):
        hub.pull(NAME)
    assert parts(home) == []


def test_file_that_changes_without_an_etag_is_found_by_its_digest(
    hub: Hub, fake: FakeHub, weights: bytes
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.cuts = [1_000_000]
    fake.replacement = bytes(reversed(weights))
    fake.sends_etag = False
    with pytest.raises(errors.Corrupt, match="not the ones"):
        hub.pull(NAME)


def test_hub_that_ignores_ranges_is_read_from_the_start(
    hub: Hub, fake: FakeHub, weights: bytes
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.ignores_range = True
    fake.cuts = [1_000_000]
    pulled = hub.pull(NAME)
    assert pulled.path.read_bytes() == weights
    assert pulled.files[0].bytes_fetched == len(weights) + 1_000_000


@pytest.mark.parametrize(
    "content_range", ["bytes 5-9/10", "bytes 500000-2999999/3000001", "pages 1-2/3", ""]
)
def test_range_that_does_not_continue_is_thrown_away(
    hub: Hub, fake: FakeHub, weights: bytes, content_range: str
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.cuts = [500_000]
    with pytest.raises(errors.Unreachable):
        cut_off_after(hub, fake, 500_000)
    fake.cuts = []
    fake.answers = [("files/", 206, {"Content-Range": content_range}, b"x" * 1000)]
    assert hub.pull(NAME).path.read_bytes() == weights


def cut_off_after(hub: Hub, fake: FakeHub, size: int) -> None:
    """Leave a part of ``size`` bytes behind."""
    fake.cuts = [size, *[0] * 20]
    hub.pull(NAME)


def test_refused_range_starts_again_and_not_for_ever(
    hub: Hub, fake: FakeHub, weights: bytes
) -> None:
    fake.publish(NAME, {PATH: weights})
    with pytest.raises(errors.Unreachable):
        cut_off_after(hub, fake, 500_000)
    fake.cuts = []
    fake.answers = [("files/", 416, {}, b"")]
    assert hub.pull(NAME).path.read_bytes() == weights
    shutil.rmtree(hub._cache.root)
    fake.answers = [("files/", 416, {}, b"")] * 20
    with pytest.raises(errors.BadAnswer, match="consistently"):
        hub.pull(NAME)


@pytest.mark.parametrize("extra", [1, 5_000_000])
def test_more_bytes_than_listed_are_not_taken(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes, extra: int
) -> None:
    version = fake.publish(NAME, {PATH: weights})
    fake.blobs[version["files"][0]["sha256"]] = weights + bytes(extra)
    fake.sends_etag = False
    with pytest.raises(errors.Corrupt, match="more bytes"):
        hub.pull(NAME)
    assert list((home / "cache" / "blobs").iterdir()) == []


def test_part_that_was_damaged_on_disk_is_found(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes
) -> None:
    fake.publish(NAME, {PATH: weights})
    with pytest.raises(errors.Unreachable):
        cut_off_after(hub, fake, 500_000)
    with parts(home)[0].open("r+b") as part:
        part.write(b"?")
    fake.cuts = []
    with pytest.raises(errors.Corrupt):
        hub.pull(NAME)
    assert hub.pull(NAME).path.read_bytes() == weights


def test_part_longer_than_the_file_is_dropped(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes
) -> None:
    version = fake.publish(NAME, {PATH: weights})
    part = home / "cache" / "blobs" / f"{version['files'][0]['sha256']}.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(len(weights) + 1))
    assert hub.pull(NAME).path.read_bytes() == weights


def test_busy_hub_is_waited_for_in_the_middle_of_a_file(
    hub: Hub, fake: FakeHub, weights: bytes, waits: list[float]
) -> None:
    fake.publish(NAME, {PATH: weights})
    fake.cuts = [1_000_000]
    fake.answers = [("files/", 503, {"Retry-After": "9"}, b"")]
    assert hub.pull(NAME).path.read_bytes() == weights
    assert 9 in waits


def test_empty_file_is_pulled(hub: Hub, fake: FakeHub) -> None:
    fake.publish(NAME, {PATH: b"x", "empty.txt": b""})
    pulled = hub.pull(NAME)
    assert (pulled.folder / "empty.txt").read_bytes() == b""


def test_hostile_path_writes_nothing(hub: Hub, fake: FakeHub, home: Path, tmp_path: Path) -> None:
    version = fake.publish(NAME, {PATH: b"good"})
    version["files"].append(version["files"][0] | {"path": "../../evil"})
    with pytest.raises(errors.UnsafePath):
        hub.pull(NAME, to=tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    assert not (home / "cache").exists()
    assert fake.requests("files/") == []


def test_files_that_differ_by_case_alone_write_nothing(
    hub: Hub, fake: FakeHub, home: Path, tmp_path: Path
) -> None:
    fake.publish(NAME, {PATH: b"good", PATH.upper(): b"other"})
    with pytest.raises(errors.UnsafePath, match=r"'noir\.safetensors' and 'NOIR\.SAFETENSORS'"):
        hub.pull(NAME, to=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (home / "cache").exists()
    assert fake.requests("files/") == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sha256", "../../../etc/passwd"),
        ("sha256", "A" * 64),
        ("size", -1),
        ("size", "7"),
        ("path", None),
        ("path", ["x"]),
        ("download_url", "file:///etc/passwd"),
        ("download_url", "http://[bad/"),
    ],
)
def test_odd_listing_is_refused(hub: Hub, fake: FakeHub, key: str, value: object) -> None:
    version = fake.publish(NAME, {PATH: b"good"})
    version["files"][0][key] = value
    with pytest.raises(errors.BadAnswer):
        hub.pull(NAME)


def test_adapter_name_from_the_hub_cannot_leave_the_cache(hub: Hub, fake: FakeHub) -> None:
    version = fake.publish(NAME, {PATH: b"good"})
    version["adapter"] = "../../.."
    with pytest.raises(errors.ReferenceInvalid):
        hub.pull(NAME)


def test_full_disk_is_said_before_anything_is_fetched(
    hub: Hub, fake: FakeHub, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.publish(NAME, {PATH: weights})
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=10))
    with pytest.raises(errors.DiskFull, match="3,000,000"):
        hub.pull(NAME)
    assert fake.requests("files/") == []


def test_disk_that_fills_up_is_said_so(
    hub: Hub, fake: FakeHub, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.publish(NAME, {PATH: weights})

    def full(_transfer: object, _block: memoryview) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download._Transfer, "add", full)
    with pytest.raises(errors.DiskFull):
        hub.pull(NAME)


def test_what_was_edited_in_place_is_not_handed_out_again(
    hub: Hub, fake: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    """Hard links let a tool write into the cache; the seal notices."""
    fake.publish(NAME, {PATH: weights})
    first = hub.pull(NAME, to=tmp_path / "a").path
    first.chmod(0o644)
    with first.open("r+b") as file:
        file.write(b"edited")
    second = hub.pull(NAME, to=tmp_path / "b")
    assert second.path.read_bytes() == weights
    assert second.files[0].bytes_fetched == len(weights)
    assert first.read_bytes().startswith(b"edited")


def test_rot_behind_an_intact_seal_is_found_by_verify(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes
) -> None:
    fake.publish(NAME, {PATH: weights})
    hub.pull(NAME)
    blob = home / "cache" / "blobs" / sha(weights)
    blob.chmod(0o644)
    before = blob.stat()
    with blob.open("r+b") as file:
        file.write(b"rotten")
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hub.pull(NAME).files[0].bytes_fetched == 0
    again = hub.pull(NAME, verify=True)
    assert again.files[0].bytes_fetched == len(weights)
    assert again.path.read_bytes() == weights


def test_lost_seal_costs_a_reading_and_no_transfer(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes
) -> None:
    fake.publish(NAME, {PATH: weights})
    hub.pull(NAME)
    next((home / "cache" / "blobs").glob("*.seal")).unlink()
    assert hub.pull(NAME).files[0].bytes_fetched == 0
    assert Cache(home / "cache").holds(sha(weights), len(weights))


def test_where_links_are_impossible_files_are_copied(
    hub: Hub, fake: FakeHub, home: Path, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    fake.publish(NAME, {PATH: weights})
    path = hub.pull(NAME).path
    assert path.read_bytes() == weights
    assert not path.samefile(home / "cache" / "blobs" / sha(weights))
