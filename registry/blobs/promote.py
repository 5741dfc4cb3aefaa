"""Bytes that come to their digest, and bytes that leave it.

Machines that share a bucket share no locks, so a row decides who may touch the bytes of a digest.
Each side writes its mark by one UPDATE that also looks for the mark of the other side, before it
touches anything; the database lets one of two such UPDATEs see the other:

* whoever brings bytes sets ``arriving_since`` unless ``leaving_since`` is set. Then the bytes are
  promoted, and the transaction of the row that refers to them says ``is_stored``;
* the sweeper sets ``leaving_since`` unless ``is_stored`` or ``arriving_since`` is set. Then it
  removes the bytes, and the mark.

So between the sweeper's look and its deletion nobody brings the same bytes: they wait, and then
bring them anew. Between an arrival and its commit nothing is deleted. A mark that a dead process
left counts for a limited time only, much longer than what it is for ever takes.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import storage
from registry.errors import Conflict
from registry.models import Blob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registry.storage import Written

#: Seconds to wait for a sweeper that is at the same bytes.
WAIT_S = 10.0
#: Seconds after which a removal counts as given up: longer than all tries of all its requests.
ABANDONED_S = 900
#: A bringer that shows no sign for so many leases of a job is dead.
LEASES = 10


def patience() -> timedelta:
    """Return for how long bytes without a row may still be on their way to one."""
    return timedelta(seconds=LEASES * settings.LORARY.job_lease_s)


def put(chunks: Iterable[bytes]) -> Written:
    """Store bytes made here under their digest, before and outside of the transaction.

    Raises:
        Conflict: see ``bring``.
    """
    key, measured = storage.new_key(), storage.Measured(chunks)
    try:
        storage.store().write(key, measured)
        move_to_digest(key=key, written=measured.written)
    except BaseException:
        storage.discard(key)
        raise
    return measured.written


def move_to_digest(*, key: str, written: Written) -> None:
    """Promote a private file; what is promoted already, by a process that died, is fine.

    Call it outside of a transaction: the mark has to be seen by others before the bytes move.

    Raises:
        Conflict: the same bytes are being removed right now. Try again soon.
        FileNotFoundError: there are no such bytes.
    """
    _announce(written)
    try:
        storage.store().promote(key, written.sha256)
    except FileNotFoundError:
        storage.store().open(written.sha256).close()


def _announce(written: Written) -> None:
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
            raise Conflict(_("The same bytes are just being removed. Try again in a moment."))
        time.sleep(0.05)


def arrived(written: Written) -> Blob:
    """Return the row of bytes that were brought, for the transaction that refers to it.

    Raises:
        Conflict: they were removed since: this took too long.
    """
    mine = Blob.objects.filter(sha256=written.sha256, leaving_since=None)
    mine.filter(is_stored=False).update(created_at=timezone.now())  # they came, or came again
    if not mine.update(is_stored=True, unreferenced_since=None, arriving_since=None):
        raise Conflict(_("The same bytes are just being removed. Try again in a moment."))
    return mine.get()


def may_leave(sha256: str, *, is_let_go: bool = False) -> bool:
    """Whether no row keeps the bytes of a digest, and nobody brings them.

    Args:
        sha256: Whose bytes.
        is_let_go: Whether the row that keeps them is going to let go of them.
    """
    blob = Blob.objects.filter(sha256=sha256)
    return not blob.exists() or blob.filter(_is_quiet() if is_let_go else _is_loose()).exists()


@contextmanager
def leaving(sha256: str, *, size_bytes: int) -> Iterator[bool]:
    """Keep others from bringing a digest while its bytes are removed.

    Args:
        sha256: Whose bytes.
        size_bytes: Their length, for the row if there is none.

    Yields:
        Whether they may be removed now.
    """
    now = timezone.now()
    blob, is_new = Blob.objects.get_or_create(
        sha256=sha256,
        defaults={"size_bytes": size_bytes, "is_stored": False, "leaving_since": now},
    )
    loose = Blob.objects.filter(_is_loose(), pk=blob.pk)
    is_mine = is_new or bool(loose.update(leaving_since=now, arriving_since=None))
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


def _is_quiet() -> Q:
    dead = timezone.now() - patience()
    return (Q(arriving_since=None) | Q(arriving_since__lt=dead)) & _is_not_leaving()


def _is_loose() -> Q:
    return Q(is_stored=False) & _is_quiet()
