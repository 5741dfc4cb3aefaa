"""Promotion of bytes to their digest, and protection of their deletion.

Machines that share a bucket share no locks, so the blob's row decides who may change the bytes of a
digest. Before it changes anything, each side marks the row by one UPDATE that requires that the
other side has not marked it; of two such UPDATEs, the database lets one see the other:

* a promotion sets ``arriving_since`` unless ``leaving_since`` is set. Then the bytes are promoted,
  and the transaction that refers to them sets ``is_stored``;
* the sweeper sets ``leaving_since`` unless ``is_stored`` or ``arriving_since`` is set. Then it
  deletes the bytes, and the mark.

Thus nothing is promoted between the sweeper's check and its deletion: a promotion waits and then
stores the bytes again. Nothing is deleted between a promotion and its commit. The mark of a process
that died counts for a limited time, much longer than a promotion or deletion takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import storage
from registry.errors import Conflict
from registry.models import Blob
from registry.storage import Written

#: Seconds to wait for a sweeper that is deleting the same bytes.
WAIT_S = 10.0
#: Seconds after which a deletion counts as abandoned: longer than all retries of its requests.
ABANDONED_S = 900
#: A promotion counts as abandoned after this many leases of a job.
LEASES = 10


def promotion_timeout() -> timedelta:
    """Return how long bytes may wait for the row that refers to them."""
    return timedelta(seconds=LEASES * settings.LORARY.job_lease_s)


def put(chunks: Iterable[bytes]) -> Written:
    """Store bytes under their digest; call it before and outside of the transaction."""
    key, measured = storage.new_key(), storage.Measured(chunks)
    try:
        storage.store().write(key, measured)
        move_to_digest(key=key, written=measured.written)
    except BaseException:
        storage.discard(key)
        raise
    return measured.written


def move_to_digest(*, key: str, written: Written) -> None:
    """Promote a private file, unless a process that died promoted it already.

    Call it outside of a transaction: other processes must see the mark before the bytes move.

    Raises:
        Conflict: the same bytes are being deleted. Try again soon.
        FileNotFoundError: there are no such bytes.
    """
    _mark_arriving(written)
    try:
        storage.store().promote(key, written.sha256)
    except FileNotFoundError:
        storage.store().open(written.sha256).close()


def _mark_arriving(written: Written) -> None:
    until = time.monotonic() + WAIT_S
    while True:
        now = timezone.now()
        blob, is_new = Blob.objects.get_or_create(
            sha256=written.sha256,
            defaults={"size_bytes": written.size, "is_stored": False, "arriving_since": now},
        )
        free = Blob.objects.filter(_is_not_leaving(), pk=blob.pk)
        if is_new or free.update(arriving_since=now, leaving_since=None):
            return
        if time.monotonic() > until:
            raise Conflict(
                _("A file with the same content is being deleted. Try again in a moment.")
            )
        time.sleep(0.05)


def mark_stored(written: Written) -> Blob:
    """Mark promoted bytes as stored and return their row; in the transaction that refers to it.

    Raises:
        Conflict: it took too long, and the bytes have been deleted.
    """
    mine = Blob.objects.filter(sha256=written.sha256, leaving_since=None)
    mine.filter(is_stored=False).update(created_at=timezone.now())  # stored now, or again
    if not mine.update(is_stored=True, unreferenced_since=None, arriving_since=None):
        raise Conflict(_("A file with the same content is being deleted. Try again in a moment."))
    return mine.get()


def is_deletable(sha256: str, *, is_released: bool = False) -> bool:
    """Return whether no row refers to a digest, and no process is promoting its bytes.

    Args:
        is_released: Treat the row as released, as a sweep would do.
    """
    blob = Blob.objects.filter(sha256=sha256)
    return not blob.exists() or blob.filter(_is_idle() if is_released else _is_released()).exists()


@contextmanager
def deleting(sha256: str, *, size_bytes: int) -> Iterator[bool]:
    """Prevent others from promoting a digest while its bytes are deleted.

    Args:
        size_bytes: Length of its bytes, for a new row if there is none.

    Yields:
        Whether the bytes may be deleted now.
    """
    now = timezone.now()
    blob, is_new = Blob.objects.get_or_create(
        sha256=sha256,
        defaults={"size_bytes": size_bytes, "is_stored": False, "leaving_since": now},
    )
    released = Blob.objects.filter(_is_released(), pk=blob.pk)
    is_mine = is_new or bool(released.update(leaving_since=now, arriving_since=None))
    try:
        yield is_mine
    finally:
        mine = Blob.objects.filter(pk=blob.pk, leaving_since=now, is_stored=False)
        if is_mine and is_new:
            mine.delete()
        elif is_mine:
            mine.update(leaving_since=None)


def _is_not_leaving() -> Q:
    abandoned = timezone.now() - timedelta(seconds=ABANDONED_S)
    return Q(leaving_since=None) | Q(leaving_since__lt=abandoned)


def _is_idle() -> Q:
    dead = timezone.now() - promotion_timeout()
    return (Q(arriving_since=None) | Q(arriving_since__lt=dead)) & _is_not_leaving()


def _is_released() -> Q:
    return Q(is_stored=False) & _is_idle()
