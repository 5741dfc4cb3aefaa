"""Uploads that are open while the files of a hub move to another store."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import pytest

from registry import storage
from registry.errors import StateConflict, UploadIncomplete
from registry.models import Job, JobState, Upload, UploadState
from registry.storage import LocalStore
from registry.uploads import check, store_change
from registry.uploads import services as uploads
from tests.registry.files import LORA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def target(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "elsewhere")


@pytest.fixture
def several_parts(own_settings: Callable[..., None]) -> None:
    """Cut uploads into parts of 16 KiB."""
    own_settings(part_bytes=16 * 1024)


def begun(actor: User, *numbers: int) -> Upload:
    """Return an upload of which some parts have arrived."""
    upload = uploads.create(actor=actor, path="noir.safetensors", size_bytes=len(LORA))
    for number in numbers:
        uploads.receive_part(
            actor=actor, upload=upload, number=number, stream=io.BytesIO(piece(upload, number))
        )
    return upload


def piece(upload: Upload, number: int) -> bytes:
    return LORA[(number - 1) * upload.part_bytes : number * upload.part_bytes]


def finish(actor: User, upload: Upload) -> Upload:
    """Send what is missing, complete and check."""
    here = set(upload.parts.values_list("number", flat=True))
    for number in range(1, upload.part_count + 1):
        if number not in here:
            uploads.receive_part(
                actor=actor, upload=upload, number=number, stream=io.BytesIO(piece(upload, number))
            )
    return check.run_checks(upload=uploads.complete(actor=actor, upload=upload))


@pytest.fixture
def switched(
    target: LocalStore, own_settings: Callable[..., None]
) -> Callable[[], store_change.MovedUploads]:
    """Return a function that carries open uploads to the target and makes it the hub's store."""

    def switch() -> store_change.MovedUploads:
        told = store_change.move_uploads(source=storage.store(), target=target)
        own_settings(storage=target.root.as_uri())
        return told

    return switch


def test_an_upload_goes_on_in_the_other_store(
    ada: User, several_parts: None, switched: Callable[[], store_change.MovedUploads]
) -> None:
    upload = begun(ada, 1, 3)
    told = switched()
    assert (told.whole, told.asked_again) == (1, [])
    assert list(upload.parts.values_list("number", flat=True)) == [1, 3]
    assert finish(ada, upload).state == UploadState.ACCEPTED
    with storage.store().open(hashlib.sha256(LORA).hexdigest()) as handle:
        assert handle.read() == LORA


def test_carrying_twice_does_no_harm(
    ada: User,
    several_parts: None,
    switched: Callable[[], store_change.MovedUploads],
    target: LocalStore,
) -> None:
    upload = begun(ada, 2, 4)
    store_change.move_uploads(source=storage.store(), target=target)
    switched()
    assert finish(ada, upload).state == UploadState.ACCEPTED


def test_an_upload_without_bytes_needs_nothing(
    ada: User, switched: Callable[[], store_change.MovedUploads]
) -> None:
    upload = begun(ada)
    assert switched().whole == 1
    assert finish(ada, upload).state == UploadState.ACCEPTED


def test_a_part_that_changed_on_the_disk_is_asked_for_again(
    ada: User, several_parts: None, switched: Callable[[], store_change.MovedUploads]
) -> None:
    upload = begun(ada, 1, 2)
    storage.store().write(upload.storage_key, [b"?"], part=storage.Part(2, 16 * 1024, 1))
    assert switched().asked_again == [str(upload.public_id)]
    assert list(upload.parts.values_list("number", flat=True)) == [1]
    assert finish(ada, upload).state == UploadState.ACCEPTED


def test_an_upload_in_parts_that_are_too_short_there_is_cancelled(
    ada: User, several_parts: None, target: LocalStore
) -> None:
    upload = begun(ada, 1)
    told = store_change.move_uploads(source=storage.store(), target=target, least_part_bytes=2**20)
    assert (told.cancelled, told.whole) == ([str(upload.public_id)], 0)
    with pytest.raises(StateConflict, match="Start a new one"):
        uploads.complete(actor=ada, upload=upload)


def test_parts_that_cannot_be_read_are_asked_for_again(
    ada: User, several_parts: None, switched: Callable[[], store_change.MovedUploads]
) -> None:
    upload = begun(ada, 1, 2)
    storage.store().delete(upload.storage_key)
    assert switched().asked_again == [str(upload.public_id)]
    with pytest.raises(UploadIncomplete):
        uploads.complete(actor=ada, upload=upload)
    assert finish(ada, upload).state == UploadState.ACCEPTED


def test_a_file_that_waits_for_its_checks_is_checked_in_the_other_store(
    ada: User, switched: Callable[[], store_change.MovedUploads]
) -> None:
    upload = uploads.receive(actor=ada, upload=begun(ada), stream=io.BytesIO(LORA))
    assert switched().whole == 1
    assert check.run_checks(upload=upload).state == UploadState.ACCEPTED
    assert [entry.name for entry in storage.store().names()] == [upload.sha256]


def test_a_file_that_was_promoted_without_its_row_comes_along(
    ada: User, switched: Callable[[], store_change.MovedUploads]
) -> None:
    upload = uploads.receive(actor=ada, upload=begun(ada), stream=io.BytesIO(LORA))
    storage.store().promote(upload.storage_key, upload.sha256)  # and its worker died
    assert switched().whole == 1
    assert check.run_checks(upload=upload).state == UploadState.ACCEPTED


def test_a_file_that_is_lost_before_its_checks_is_asked_for_again(
    ada: User, switched: Callable[[], store_change.MovedUploads]
) -> None:
    upload = uploads.receive(actor=ada, upload=begun(ada), stream=io.BytesIO(LORA))
    storage.store().delete(upload.storage_key)
    assert switched().asked_again == [str(upload.public_id)]
    upload.refresh_from_db()
    assert (upload.state, upload.sha256) == (UploadState.RECEIVING, "")
    assert Job.objects.get(key=f"check_upload:{upload.pk}").state == JobState.CANCELLED
    assert finish(ada, upload).state == UploadState.ACCEPTED


def test_after_rows_were_put_back_received_parts_are_asked_for_again(
    ada: User, several_parts: None
) -> None:
    upload, empty = begun(ada, 1, 2), begun(ada)
    told = store_change.reopen_without_bytes(store=storage.store())
    assert (told.whole, told.asked_again) == (1, [str(upload.public_id)])
    assert not upload.parts.exists()
    for one in (upload, empty):
        assert finish(ada, one).state == UploadState.ACCEPTED


def test_after_rows_were_put_back_a_file_that_is_there_is_checked(ada: User) -> None:
    here = uploads.receive(actor=ada, upload=begun(ada), stream=io.BytesIO(LORA))
    gone = uploads.receive(actor=ada, upload=begun(ada), stream=io.BytesIO(LORA))
    storage.store().delete(gone.storage_key)
    told = store_change.reopen_without_bytes(store=storage.store())
    assert told.asked_again == [str(gone.public_id)]
    assert check.run_checks(upload=here).state == UploadState.ACCEPTED
    gone.refresh_from_db()
    assert finish(ada, gone).state == UploadState.ACCEPTED
