"""Bytes and open uploads on their way to a bucket and out of it, in one process."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command

from hub.config import moved_to
from registry import storage
from registry.blobs import migrate_store
from registry.models import UploadState
from registry.uploads import check, store_change
from registry.uploads import services as uploads
from tests.builders.adapters import DENOISERS, kohya
from tests.stored import blob_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django import Settings

    from registry.models import Upload, User
    from tests.buckets import SeaweedFS

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

STEP = 5 * 2**20
FILES = [bytes([number]) * (1000 + number) for number in range(6)] + [b"long" * 3 * 2**20]
DIGESTS = [hashlib.sha256(data).hexdigest() for data in FILES]


@pytest.fixture(scope="module")
def lora() -> bytes:
    """An adapter of three parts."""
    data = kohya(DENOISERS["sd1", "diffusers"], rank=512)
    assert 2 * STEP < len(data) <= 3 * STEP
    return data


@pytest.fixture
def kept(own_settings: Callable[..., None]) -> None:
    """Files of the hub's own folder, named by rows; uploads in parts that a bucket takes."""
    own_settings(part_bytes=STEP)
    for data in FILES:
        blob_of(data)


def require_all() -> None:
    for sha256, data in zip(DIGESTS, FILES, strict=True):
        with storage.store().open(sha256) as handle:
            assert handle.read() == data
    assert migrate_store.verify(store=storage.store()).is_whole
    assert migrate_store.census(storage.store()).missing == []


def send(actor: User, upload: Upload, data: bytes, *numbers: int) -> None:
    for number in numbers:
        piece = data[(number - 1) * STEP : number * STEP]
        uploads.receive_part(actor=actor, upload=upload, number=number, stream=io.BytesIO(piece))


def finish(actor: User, upload: Upload) -> None:
    done = check.run_checks(upload=uploads.complete(actor=actor, upload=upload))
    assert done.state == UploadState.ACCEPTED


def move(url: str, own_settings: Callable[..., None], settings: Settings) -> None:
    with pytest.raises(SystemExit) as leaving:
        call_command("storage", "move", "--to", url)
    assert not leaving.value.code
    assert moved_to(settings.LORARY.data) == url
    own_settings(storage=url)


def test_a_hub_goes_to_a_bucket_and_back(
    ada: User,
    lora: bytes,
    kept: None,
    bucket_server: SeaweedFS,
    own_settings: Callable[..., None],
    settings: Settings,
    tmp_path: Path,
) -> None:
    begun, checking = (
        uploads.create(actor=ada, path="noir.safetensors", size_bytes=len(lora)) for _ in range(2)
    )
    send(ada, begun, lora, 3, 1)
    checking = uploads.receive(actor=ada, upload=checking, stream=io.BytesIO(lora))
    bucket = bucket_server.storage()
    assert migrate_store.copy(source=storage.store(), target=storage.store_at(bucket)).done == len(
        FILES
    )
    move(bucket, own_settings, settings)
    require_all()
    assert set(begun.parts.values_list("number", flat=True)) == {1, 3}
    send(ada, begun, lora, 2)
    finish(ada, begun)
    assert check.run_checks(upload=checking).state == UploadState.ACCEPTED

    again = uploads.create(actor=ada, path="other.safetensors", size_bytes=len(lora))
    send(ada, again, lora, 1, 2)
    move((tmp_path / "back").as_uri(), own_settings, settings)
    require_all()
    assert not again.parts.exists()  # parts of a bucket cannot be read before they are joined
    send(ada, again, lora, 1, 2, 3)
    finish(ada, again)
    with storage.store().open(hashlib.sha256(lora).hexdigest()) as handle:
        assert handle.read() == lora


def test_files_joined_in_a_bucket_are_read_back(
    ada: User, lora: bytes, kept: None, bucket: SeaweedFS, tmp_path: Path
) -> None:
    upload = uploads.create(actor=ada, path="noir.safetensors", size_bytes=len(lora))
    send(ada, upload, lora, 1, 2, 3)
    parts = [
        storage.Part(n, (n - 1) * STEP, min(STEP, len(lora) - (n - 1) * STEP)) for n in (1, 2, 3)
    ]
    storage.store().assemble(upload.storage_key, parts)  # and the server was killed
    target = storage.LocalStore(tmp_path / "elsewhere")
    told = store_change.move_uploads(source=storage.store(), target=target)
    assert (told.whole, told.asked_again) == (1, [])
    assert upload.parts.count() == 3
    with target.open(upload.storage_key) as handle:
        assert handle.read() == lora
