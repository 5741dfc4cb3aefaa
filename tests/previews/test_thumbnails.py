"""Thumbnails on disk: made once, kept within limits, deleted with their picture."""

from __future__ import annotations

import io
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image as Picture

from previews.derived import Unreadable
from previews.models import Control, Image
from previews.pictures import thumbnails
from previews.pictures.selectors import pictures_of
from previews.pictures.thumbnails import FOLDERS, Busy, open_thumbnail
from previews.renders.selectors import previews_of
from registry import storage, sweep
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.models import Blob, Version

pytestmark = pytest.mark.django_db


@pytest.fixture
def picture(own_settings: Callable[..., None], tmp_path: Path) -> Blob:
    """A stored picture of 300 pixels, on a machine that has no thumbnails yet."""
    own_settings(data=tmp_path)
    drawn = io.BytesIO()
    Picture.linear_gradient("L").resize((300, 200)).convert("RGB").save(drawn, "PNG")
    return blob_of(drawn.getvalue())


def read(source: Blob, kind: str = "webp", width: int = 256) -> bytes:
    with open_thumbnail(source.sha256, kind=kind, width=width) as file:
        return file.read()


def files() -> list[Path]:
    return sorted(file for file in thumbnails.root().rglob("*") if file.is_file())


@pytest.mark.parametrize("kind", ["webp", "avif"])
def test_a_thumbnail_is_made_once(picture: Blob, kind: str) -> None:
    made = read(picture, kind)
    with Picture.open(io.BytesIO(made)) as small:
        assert (small.format, small.size) == (kind.upper(), (256, 171))
    [file] = files()
    assert file.read_bytes() == made
    storage.store().delete(picture.sha256)
    assert read(picture, kind) == made


def test_the_folders_are_not_open_to_other_accounts(picture: Blob) -> None:
    read(picture)
    for folder in (thumbnails.root(), files()[0].parent):
        assert folder.stat().st_mode & 0o007 == 0


def test_without_the_picture_there_is_no_thumbnail(picture: Blob) -> None:
    storage.store().delete(picture.sha256)
    with pytest.raises(FileNotFoundError):
        read(picture)
    with pytest.raises(Unreadable):
        read(blob_of(b"<svg/>"))
    assert not files()


def test_a_full_disk_hides_no_picture(picture: Blob, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(thumbnails, "_save", full)
    assert read(picture)[8:12] == b"WEBP"
    assert not files()


def test_a_request_does_not_wait_long_for_others(
    picture: Blob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "_turns", threading.BoundedSemaphore(1))
    monkeypatch.setattr(thumbnails, "WAIT_S", 0.01)
    with thumbnails._turns, pytest.raises(Busy):
        read(picture)
    assert read(picture)


def test_a_full_folder_loses_its_oldest_files(
    picture: Blob, own_settings: Callable[..., None]
) -> None:
    first = read(picture)
    [oldest] = files()
    os.utime(oldest, (1, time.time() - 60))
    own_settings(data=thumbnails.root().parent, thumbnail_bytes=len(first) * FOLDERS)
    read(picture, width=300)
    assert oldest not in files()
    own_settings(data=thumbnails.root().parent, thumbnail_bytes=0)
    assert read(picture) == first
    assert not files()


def test_old_files_are_deleted(picture: Blob) -> None:
    read(picture)
    [old] = files()
    os.utime(old, (1, time.time() - 31 * 86_400))
    read(picture, width=300)
    assert [file.name for file in files()] == [f"{picture.sha256}-300.webp"]


def test_thumbnails_are_deleted_after_their_picture(
    picture: Blob, own_settings: Callable[..., None]
) -> None:
    kept = blob_of(b"kept")
    for width in (256, 300):
        read(picture, width=width)
    (thumbnails.root() / kept.sha256[:2]).mkdir(exist_ok=True)
    own = thumbnails.root() / kept.sha256[:2] / f"{kept.sha256}-256.webp"
    own.write_bytes(b"kept")
    picture.is_stored = False
    picture.save()
    assert sweep.run(is_dry=True).leftovers == 2
    assert len(files()) == 3
    assert sweep.leftovers(is_dry=False).files == 2
    assert files() == [own]


def test_a_rendered_picture_has_a_placeholder_and_thumbnails(
    rendered: Version, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        found = pictures_of(Image.objects.filter(render__version=rendered))
    assert [one.id for one in found] == [one.id for one in previews_of(rendered).images]
    assert len({one.id for one in found}) == len(found) == 20
    assert {one.placeholder[:23] for one in found} == {"data:image/webp;base64,"}
    assert [(one.kind, one.width) for one in found[0].sources] == [("webp", 64)]
    assert Control.objects.exists()
