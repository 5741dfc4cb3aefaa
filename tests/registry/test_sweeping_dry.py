"""What a dry run tells, against what a sweep then removes, over a directory and over a bucket."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.utils import timezone

from registry import locks, storage, sweep
from registry.blobs import promote
from registry.jobs import leases
from registry.models import Adapter, Blob, Upload, UploadState, User, XetSession, XetXorb
from registry.storage.s3 import S3Store
from registry.uploads import services as uploads
from tests.catalogue import accept, release
from tests.registry.files import LORA, OTHER
from tests.stored import put_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("either_store")]

STEP = 5 * 2**20


@pytest.fixture(autouse=True)
def _no_grace(
    either_store: str, own_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever nothing keeps may go at once; an upload has two parts."""
    del either_store
    own_settings(grace_days=0, part_bytes=STEP)
    monkeypatch.setattr(locks, "WAIT_S", 0.05)


def announced(actor: User, size_bytes: int = STEP + 1000) -> Upload:
    return uploads.create(actor=actor, path="noir.safetensors", size_bytes=size_bytes)


def begun(actor: User) -> Upload:
    """Announce a file and send the first of its two parts."""
    upload = announced(actor)
    body = io.BytesIO(bytes(STEP))
    uploads.receive_part(actor=actor, upload=upload, number=1, stream=body)
    return upload


def leave_uploads(ada: User) -> None:
    """Leave uploads that go on, are late with and without bytes, left bytes, or are long over."""
    begun(ada)
    late = [begun(ada), begun(ada), announced(ada)]
    past = timezone.now() - timedelta(seconds=1)
    Upload.objects.filter(pk__in=[one.pk for one in late]).update(expires_at=past)
    left, over = begun(ada), announced(ada)
    uploads.cancel(actor=ada, upload=over)
    Upload.objects.filter(pk=over.pk).update(updated_at=past - timedelta(days=400))
    Upload.objects.filter(pk=left.pk).update(state=UploadState.CANCELLED)


def leave_blobs(ada: User) -> None:
    """Leave bytes that may go, that were let go of just now, and that others bring and remove."""
    accept(ada, OTHER)  # fresh
    for number in range(4):
        accept(ada, f"# Noir {number}".encode(), "README.md")
    texts = Blob.objects.filter(uploads__path="README.md").order_by("pk")
    Upload.objects.filter(path="README.md").update(updated_at=timezone.now() - timedelta(days=400))
    ripe, brought, removed, _unmarked = (blob.pk for blob in texts)
    long_ago, now = timezone.now() - timedelta(days=1), timezone.now()
    Blob.objects.filter(pk__in=[ripe, brought, removed]).update(unreferenced_since=long_ago)
    Blob.objects.filter(pk=brought).update(arriving_since=now)
    Blob.objects.filter(pk=removed).update(leaving_since=now)
    put_bytes([b"without a row"])
    storage.store().write(storage.new_key(), [b"without a row, and young"])


def leave_copies() -> None:
    """Leave rests of copies of a blob that stays and of one that goes, where there are such."""
    store = storage.store()
    if isinstance(store, S3Store):
        for name in (put_bytes([b"# Noir 0"]).sha256, put_bytes([LORA]).sha256):
            for _time in range(2):
                place = store._blob(name)
                store.client.create_multipart_upload(Bucket=store.location.bucket, Key=place)


def leave_pieces() -> str:
    """Leave pieces of Hugging Face clients: idle, fresh, and idle but in use; return the last."""
    past = timezone.now() - timedelta(hours=2)
    for two, at in (("01", past), ("02", timezone.now()), ("03", past)):
        row = XetSession.objects.create(user_id=1, adapter_id=1, name=two * 16, touched_at=at)
        key = storage.new_key()
        XetXorb.objects.create(session=row, name="ab" * 32, key=key, size_bytes=300)
        storage.store().write(key, [b"x" * 300])
    return row.name


def everything() -> tuple[object, ...]:
    """Return all that a sweep may change, but for lock files, which any look may add."""
    rows = [list(model.objects.order_by("pk").values()) for model in (Upload, Blob)]
    found = (path for path in settings.LORARY.data.rglob("*") if path.parent != locks.folder())
    files = sorted(path for path in found if "sqlite" not in path.name)
    return *rows, sorted(storage.store().names()), files


def test_a_dry_run_tells_what_a_sweep_then_removes(
    ada: User, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(noir, LORA)
    leave_uploads(ada)
    leave_blobs(ada)
    leave_copies()
    busy = leave_pieces()
    with leases.holding(f"xet {busy}"):
        before, locked = everything(), set(locks.folder().iterdir())
        dry = sweep.run(is_dry=True)
        assert everything() == before
        assert locked <= set(locks.folder().iterdir())
        assert sweep.run() == dry
    # Never finished: 3; accepted long ago and published nowhere: 4.
    assert (dry.uploads_expired, dry.uploads_forgotten, dry.blobs) == (7, 1, 3)
    assert (dry.leftovers, dry.leftover_bytes) == (1, 300)
    # Late: 2; left by an upload: 1; let go of, and nobody at it: 1; without a row: 1.
    assert dry.files == 5
    in_parts = 2 if isinstance(storage.store(), S3Store) else 3  # of an open one, no length is told
    assert dry.bytes_freed == in_parts * STEP + len("# Noir 0") + len("without a row")

    monkeypatch.setattr(promote, "promotion_timeout", timedelta)  # nothing is on its way any more
    dry = sweep.run(is_dry=True)
    assert sweep.run() == dry
    assert (dry.uploads_expired, dry.uploads_forgotten, dry.blobs) == (0, 3, 1)
    assert dry.leftovers == 1
    assert dry.files > 1


def test_where_nothing_is_left_a_dry_run_and_a_sweep_find_nothing(ada: User, noir: Adapter) -> None:
    release(noir, LORA)
    begun(ada)
    nothing = sweep.Swept(*([0] * len(sweep.Swept.__slots__)))
    assert sweep.run(is_dry=True) == nothing
    assert sweep.run() == nothing
