"""Bytes that come while the sweeper is at the same ones, over a directory and over a bucket."""

from __future__ import annotations

import hashlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from registry import storage, sweep
from registry.blobs import promote
from registry.errors import Conflict, StorageAway
from registry.models import Blob, Upload, UploadState, User
from registry.storage import Part, Written
from registry.uploads import services as uploads
from tests.catalogue import accept
from tests.registry.files import LORA
from tests.stored import put_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("either_store")]

DIGEST = hashlib.sha256(LORA).hexdigest()


@pytest.fixture(autouse=True)
def _no_grace(either_store: str, own_settings: Callable[..., None]) -> None:
    """Whatever nothing keeps may go at once."""
    del either_store
    own_settings(grace_days=0)


def names() -> list[str]:
    return sorted(entry.name for entry in storage.store().names())


def is_whole() -> bool:
    with storage.store().open(DIGEST) as handle:
        return handle.read() == LORA


def test_bytes_without_a_row_go(ada: User) -> None:
    put_bytes([LORA])
    dry = sweep.run(is_dry=True)
    assert (dry.files, dry.bytes_freed, names()) == (1, len(LORA), [DIGEST])
    assert not Blob.objects.exists()
    assert sweep.run().files == 1
    assert names() == []
    assert not Blob.objects.exists()


def test_bytes_that_are_kept_after_the_look_stay(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweeper has listed an orphan; before it acts, the same bytes are sent and accepted."""
    put_bytes([LORA])
    sweep_one = sweep._sweep_one

    def late(entry: storage.Entry, **more: Any) -> bool:
        if entry.name == DIGEST:
            assert accept(ada, LORA).state == UploadState.ACCEPTED
        return sweep_one(entry, **more)

    monkeypatch.setattr(sweep, "_sweep_one", late)
    assert sweep.run().files == 0
    assert is_whole()
    assert Blob.objects.get().is_stored


def test_bytes_that_come_during_the_removal_come_after_it(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweeper has decided; before it deletes, the same bytes are sent: they come after it."""
    put_bytes([LORA])
    store, came = storage.store(), []
    monkeypatch.setattr(promote, "WAIT_S", 60.0)
    begun, ended = threading.Event(), threading.Event()
    announce = promote._mark_arriving

    def announced(written: Written) -> None:
        begun.set()
        announce(written)
        assert ended.is_set()  # nobody gets through while bytes are removed

    def send() -> None:
        try:
            came.append(accept(ada, LORA))
        finally:
            connection.close()

    sender = threading.Thread(target=send)
    delete = type(store).delete

    def deleting(self: Any, name: str, **more: Any) -> None:
        if name == DIGEST and not begun.is_set():
            sender.start()
            assert begun.wait(120)
            delete(self, name, **more)
            ended.set()
        else:
            delete(self, name, **more)

    monkeypatch.setattr(promote, "_mark_arriving", announced)
    monkeypatch.setattr(type(store), "delete", deleting)
    assert sweep.run().files == 1
    sender.join(120)
    assert [upload.state for upload in came] == [UploadState.ACCEPTED]
    assert is_whole()
    assert Blob.objects.get().is_stored


def test_bytes_on_their_way_to_a_row_are_left_alone(ada: User) -> None:
    written = promote.put([LORA])
    assert sweep.run(is_dry=True).files == 0
    assert sweep.run().files == 0
    blob = promote.mark_stored(written)
    assert (blob.is_stored, blob.arriving_since) == (True, None)
    assert sweep.run().files == 0
    assert is_whole()


def test_what_a_dead_process_brought_goes_in_the_end(ada: User) -> None:
    promote.put([LORA])
    Blob.objects.update(arriving_since=timezone.now() - promote.promotion_timeout())
    assert sweep.run().files == 1
    assert names() == []
    accept(ada, LORA)
    assert is_whole()


def test_two_sweepers_do_not_remove_the_same(ada: User) -> None:
    put_bytes([LORA])
    with promote.deleting(DIGEST, size_bytes=1) as first:
        assert first
        with promote.deleting(DIGEST, size_bytes=1) as second:
            assert not second
        assert sweep.run().files == 0
    assert sweep.run().files == 1


def test_a_removal_holds_up_who_brings_the_same(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promote, "WAIT_S", 0.0)
    with promote.deleting(DIGEST, size_bytes=1), pytest.raises(Conflict):
        promote.put([LORA])
    with promote.deleting(DIGEST, size_bytes=1), pytest.raises(Conflict):
        promote.mark_stored(Written(len(LORA), DIGEST))
    promote.put([LORA])


def test_a_removal_of_a_dead_process_holds_up_nobody_for_long(ada: User) -> None:
    long_ago = timezone.now() - timedelta(seconds=promote.ABANDONED_S + 1)
    Blob.objects.create(sha256=DIGEST, size_bytes=1, is_stored=False, leaving_since=long_ago)
    promote.mark_stored(promote.put([LORA]))
    assert is_whole()


def test_bytes_of_a_stored_row_never_go(ada: User) -> None:
    accept(ada, LORA)
    with promote.deleting(DIGEST, size_bytes=1) as is_mine:
        assert not is_mine
    assert not promote.is_deletable(DIGEST)


def test_an_open_upload_keeps_its_parts_and_an_ended_one_does_not(ada: User) -> None:
    kept = uploads.create(actor=ada, path="noir.safetensors", size_bytes=len(LORA))
    ended = uploads.create(actor=ada, path="noir.safetensors", size_bytes=len(LORA))
    for upload in (kept, ended):
        storage.store().write(upload.storage_key, [LORA[:100]], part=Part(1, 0, 100))
    Upload.objects.filter(pk=ended.pk).update(state=UploadState.CANCELLED)
    sweep.run()
    assert names() == [kept.storage_key]
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert sweep.run().uploads_expired == 1
    assert names() == []


def test_a_private_file_without_a_row_is_given_time(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = storage.new_key()
    storage.store().write(key, [b"on its way"])
    sweep.run()
    assert names() == [key]
    monkeypatch.setattr(promote, "promotion_timeout", timedelta)
    sweep.run()
    assert names() == []


def test_what_cannot_be_brought_to_its_digest_is_not_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(**_named: object) -> None:
        raise StorageAway

    monkeypatch.setattr(promote, "move_to_digest", away)
    with pytest.raises(StorageAway):
        promote.put([b"made here"])
    assert names() == []
