"""Rows that a file in many parts leaves."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry import storage, sweep
from registry.models import UploadPart, UploadState
from registry.uploads import services as uploads
from tests.catalogue import accept
from tests.registry.files import LORA

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Upload, User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_parts")]

PARTS = 3


def sent(actor: User) -> Upload:
    """Send zeros by parts: no adapter."""
    size = PARTS * 64 * 1024
    upload = uploads.create(actor=actor, path="noir.safetensors", size_bytes=size)
    for number in range(1, PARTS + 1):
        stream = io.BytesIO(bytes(64 * 1024))
        uploads.receive_part(actor=actor, upload=upload, number=number, stream=stream)
    return upload


def test_parts_go_with_the_upload_that_is_cancelled(ada: User) -> None:
    is_open, cancelled = sent(ada), sent(ada)
    uploads.cancel(actor=ada, upload=cancelled)
    assert set(UploadPart.objects.values_list("upload", flat=True)) == {is_open.pk}


def test_parts_of_a_decided_upload_are_forgotten_and_others_kept(ada: User) -> None:
    is_open, accepted = sent(ada), accept(ada, LORA)
    sweep.run(is_dry=True)
    assert set(UploadPart.objects.values_list("upload", flat=True)) == {is_open.pk, accepted.pk}
    sweep.run()
    assert set(UploadPart.objects.values_list("upload", flat=True)) == {is_open.pk}
    is_open.refresh_from_db()
    assert is_open.state == UploadState.RECEIVING
    assert is_open.parts.count() == PARTS


def test_kept_files_are_looked_up_in_batches(
    ada: User, own_settings: Callable[..., None], django_assert_max_num_queries: Any
) -> None:
    own_settings(grace_days=0)
    sweep.run()  # which deletes what other tests left
    accept(ada, b"0", "README0.md")
    with CaptureQueriesContext(connection) as queries_of_one:
        sweep.run()
    for number in range(1, 9):
        accept(ada, b"%d" % number, f"README{number}.md")
    stored = {entry.name for entry in storage.store().names()}
    with django_assert_max_num_queries(len(queries_of_one)):
        sweep.run()
    assert {entry.name for entry in storage.store().names()} == stored
