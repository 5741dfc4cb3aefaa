"""What ``LORARY_STORAGE`` may say, and reading over connections that break."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from registry.errors import StorageAway
from registry.storage import BucketLocation, Handle, parse_location, ranged
from registry.storage.ranged import Ranged


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("file:///var/lib/files", Path("/var/lib/files")),
        ("file:///a%20b", Path("/a b")),
        ("s3://studio", BucketLocation("studio")),
        ("s3://studio/some/folder/", BucketLocation("studio", "some/folder/")),
        (
            "s3://studio/x?endpoint=http://127.0.0.1:8333/&region=eu-1",
            BucketLocation(
                "studio",
                "x/",
                endpoint="http://127.0.0.1:8333",
                region="eu-1",
                is_path_style=True,
            ),
        ),
        (
            "s3://studio?endpoint=https://s3.example&path_style=no&checksums=when_required&links=no",
            BucketLocation(
                "studio",
                endpoint="https://s3.example",
                has_links=False,
                checksums="when_required",
            ),
        ),
        (
            "s3://studio?links=https%3A%2F%2Ffiles.example",
            BucketLocation("studio", links="https://files.example"),
        ),
    ],
)
def test_an_address_of_a_store_is_read(url: str, place: Path | BucketLocation) -> None:
    assert parse_location(url) == place


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "Use file://"),
        ("/var/lib/files", "Use file://"),
        ("file://host/files", "Use file://"),
        ("ftp://host/files", "Use file://"),
        ("s3:///folder", "isn.t a bucket name"),
        ("s3://AB", "isn.t a bucket name"),
        ("s3://studio?endpoint=127.0.0.1:8333", "isn.t an address"),
        ("s3://studio?links=maybe", "isn.t an address"),
        ("s3://studio?path_style=on", "yes or no"),
        ("s3://studio?checksums=never", "when_required"),
        ("s3://studio?regoin=eu", "no such option"),
        ("s3://studio?region=a&region=b", "repeated"),
    ],
)
def test_an_address_that_cannot_be_followed_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_location(url)


class Line:
    """Serves a file over connections that break when they are told to."""

    def __init__(self, data: bytes, *breaks: int | None) -> None:
        self.data, self.breaks = data, list(breaks)
        self.asked: list[tuple[int, int]] = []

    def fetch(self, first: int, last: int) -> Any:
        self.asked.append((first, last))
        after = self.breaks.pop(0) if self.breaks else None
        return _Body(self.data[first : last + 1], after)


class _Body(io.BytesIO):
    def __init__(self, data: bytes, after: int | None) -> None:
        super().__init__(data)
        self.after = after

    def read(self, size: int | None = -1, /) -> bytes:
        if self.after is not None and self.tell() >= self.after:
            raise ConnectionClosedError(endpoint_url="http://127.0.0.1")
        most = size if self.after is None else min(size or 0, self.after - self.tell())
        return super().read(most)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranged, "PAUSE_S", 0.0)


def test_stretches_grow_while_one_reads_on_and_start_small_after_a_jump() -> None:
    data = os.urandom(700_000)
    line = Line(data)
    with Handle(Ranged("x", len(data), line.fetch), len(data)) as handle:
        assert handle.read() == data
        handle.seek(100)
        assert handle.read(5) == data[100:105]
    assert line.asked == [(0, 65_535), (65_536, 327_679), (327_680, 699_999), (100, 65_635)]


def test_reading_goes_on_where_a_connection_broke() -> None:
    data = os.urandom(500_000)
    line = Line(data, 1000, 0, None, 70_000)
    with Handle(Ranged("x", len(data), line.fetch), len(data)) as handle:
        assert handle.read() == data
    assert line.asked[1][0] == 1000


def test_a_line_that_breaks_each_time_is_given_up() -> None:
    line = Line(b"x" * 100, 0, 0, 0, 0, 0, 0)
    with (
        Handle(Ranged("x", 100, line.fetch), 100) as handle,
        pytest.raises(StorageAway),
    ):
        handle.read()
    assert len(line.asked) == ranged.TRIES


def test_nothing_is_asked_for_until_somebody_reads() -> None:
    line = Line(b"x" * 100)
    with Handle(Ranged("x", 100, line.fetch), 100) as handle:
        assert handle.seek(0, io.SEEK_END) == 100
        assert handle.seek(-10, io.SEEK_CUR) == 90
        assert handle.size == 100
    with pytest.raises(ValueError, match="negative"):
        Ranged("x", 100, line.fetch).seek(-1)
    assert line.asked == []
