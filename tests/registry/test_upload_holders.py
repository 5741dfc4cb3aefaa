"""Which version or adapter has the file of an upload."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.db.models.signals import post_init

from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.models import Adapter, File, Upload, User, Version
from registry.uploads import selectors
from tests.catalogue import accept, release
from tests.registry.files import LORA, OTHER

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def files_read() -> Iterator[list[File]]:
    """Collect the rows of files that the block reads."""
    read: list[File] = []

    def collect(instance: File, **_others: Any) -> None:
        read.append(instance)

    post_init.connect(collect, sender=File)
    try:
        yield read
    finally:
        post_init.disconnect(collect, sender=File)


@pytest.fixture
def sent(ada: User, noir: Adapter) -> Upload:
    """An upload that a version has, and several revisions without one."""
    release(noir, LORA)
    for title in ("One", "Two", "Three"):
        cards.edit_adapter(actor=ada, adapter=noir, title=title)
    files = File.objects.filter(blob__uploads__owner=ada, revision__versions=None)
    assert files.count() == 3
    return ada.uploads.get()


def test_one_file_is_read_for_an_upload_and_is_the_newest(
    ada: User, noir: Adapter, sent: Upload
) -> None:
    assert selectors.committed_to(ada, [sent]) == {sent.pk: noir}
    release(other := adapters.create(actor=ada, name="other"), LORA)
    with files_read() as read:
        assert selectors.committed_to(ada, [sent]) == {sent.pk: other}
    assert len(read) == 1


def test_no_file_is_read_for_an_upload_that_a_version_has(ada: User, sent: Upload) -> None:
    loose = accept(ada, OTHER, "other.safetensors")
    with files_read() as read:
        found = selectors.holders(ada, [sent, loose])
    assert found == ({sent.pk: Version.objects.get()}, {})
    assert read == []
