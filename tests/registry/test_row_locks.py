"""Locked rows, and transactions that refer to them."""

from __future__ import annotations

from threading import Thread

import pytest
from django.db import connection, transaction

from registry.database.row_locks import locked
from registry.models import Adapter, Blob, Finding
from tests.catalogue import release
from tests.registry.files import LORA, OTHER

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_reference_to_locked_rows_is_committed_without_waiting(noir: Adapter) -> None:
    """A commit that waited for one of the rows, and held another, would be half of a deadlock."""
    release(noir, LORA)
    release(noir, OTHER)
    blobs = list(Blob.objects.all())
    refused: list[Exception] = []

    def refer() -> None:
        try:
            with transaction.atomic():
                for blob in blobs:
                    Finding.objects.create(blob=blob, code="noted", severity="note", message="")
        except Exception as error:  # noqa: BLE001 - the test shows it
            refused.append(error)
        finally:
            connection.close()

    waits = connection.vendor == "sqlite"  # only one transaction writes at a time
    other = Thread(target=refer)
    with transaction.atomic():
        keys = [blob.pk for blob in locked(Blob.objects.order_by("-pk"))]
        assert keys == sorted(blob.pk for blob in blobs)
        other.start()
        other.join(0.2 if waits else 10)
        assert other.is_alive() is waits
    other.join()
    assert refused == []
    assert Finding.objects.filter(code="noted").count() == len(blobs) > 1
