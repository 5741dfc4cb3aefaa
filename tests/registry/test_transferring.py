"""What a transfer of all adapters leaves to the account, which stays."""

from __future__ import annotations

import time
from threading import Event as Signal
from threading import Thread

import pytest
from django.db import connection, transaction
from django.test import Client

from registry import sweep
from registry.accounts import quotas, transfer
from registry.adapters import services as adapters
from registry.errors import StateConflict
from registry.models import Adapter, Namespace, UploadState, User, Visibility
from registry.publication import services as publication
from registry.uploads import selectors
from registry.uploads import services as uploads
from registry.versions import withdraw
from tests.builders.adapters import kohya
from tests.catalogue import accept, release
from tests.registry.files import LORA, OTHER, SD1

DRAFTED = kohya(SD1, rank=2)

pytestmark = pytest.mark.django_db(transaction=True)


def charged(user: User) -> int:
    return Namespace.objects.get(user=user).used_bytes


def used(user: User) -> int:
    return quotas.used_by(Namespace.objects.get(user=user))


def move(source: User, target: User) -> int:
    return transfer.transfer_account(actor=None, user=source, target=target.namespace)


def test_bytes_count_for_the_new_owner_only(ada: User, bob: User, noir: Adapter) -> None:
    release(noir, LORA)
    before = used(ada)
    move(ada, bob)
    assert (used(ada), used(bob)) == (0, before)
    move(bob, ada)
    assert (used(ada), used(bob)) == (before, 0)


def test_only_published_bytes_are_charged(ada: User, bob: User, noir: Adapter) -> None:
    withdraw.withdraw(actor=ada, version=release(noir, OTHER), reason="Mine.")
    release(noir, LORA)
    publication.create_draft(actor=ada, adapter=noir, uploads=[accept(ada, DRAFTED)])
    before = charged(ada)
    move(ada, bob)
    assert (charged(ada), charged(bob)) == (0, before)


def test_uploads_are_not_asked_for_again(ada: User, bob: User, noir: Adapter) -> None:
    release(noir, LORA)
    loose = accept(ada, OTHER, "other.safetensors")
    move(ada, bob)
    Adapter.objects.update(visibility=Visibility.PRIVATE)
    assert [one.pk for one in selectors.waiting(ada)] == [loose.pk]
    client = Client()
    client.force_login(ada)
    page = client.get("/uploads").content.decode()
    assert page.count("Checked and not published") == 1
    assert page.count("The adapter that it is part of was transferred.") == 1
    assert "bob" not in page
    moved = ada.uploads.exclude(pk=loose.pk).get()
    with pytest.raises(StateConflict):
        uploads.cancel(actor=ada, upload=moved)
    sweep.run()
    moved.refresh_from_db()
    assert moved.state == UploadState.ACCEPTED


def test_what_the_new_owner_adds_later_does_not_show_in_uploads(
    ada: User, bob: User, noir: Adapter
) -> None:
    release(noir, LORA)
    move(ada, bob)
    loose, before = accept(ada, OTHER, "other.safetensors"), used(ada)
    noir.refresh_from_db()
    release(noir, OTHER)
    Adapter.objects.update(visibility=Visibility.PRIVATE)
    assert [one.pk for one in selectors.waiting(ada)] == [loose.pk]
    assert used(ada) == before > 0
    uploads.cancel(actor=ada, upload=loose)


@pytest.mark.postgresql  # SQLite has one writer at a time
def test_what_is_published_and_created_at_once_moves_too(
    ada: User, bob: User, noir: Adapter
) -> None:
    release(noir, LORA)
    begun = Signal()

    def publish() -> None:
        try:
            with transaction.atomic():
                adapters.refresh(adapter := Adapter.objects.get(pk=noir.pk))
                begun.set()
                until = time.monotonic() + 10
                while not _is_waited_for() and time.monotonic() < until:
                    pass
                release(adapter, OTHER)
                adapters.create(actor=ada, name="late")
        finally:
            connection.close()

    thread = Thread(target=publish)
    thread.start()
    assert begun.wait(10)
    count = move(ada, bob)
    thread.join()
    owned = Adapter.objects.filter(namespace=bob.namespace)
    assert (count, sorted(owned.values_list("name", flat=True))) == (2, ["late", "noir"])
    assert used(ada) == 0
    assert charged(bob) >= len(LORA) + len(OTHER)


def _is_waited_for() -> bool:
    """Whether another connection waits for a row that this one has locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])
