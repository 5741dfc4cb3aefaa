"""Leases: what one process of the hub does at a time, on whatever machine.

A holder extends its lease from a thread, so that one of a killed process ends soon. Unlike locks
of a database session, leases also work behind a pool of connections (pgbouncer).
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from registry.errors import Conflict
from registry.jobs.identity import worker_name
from registry.models import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: Seconds after which a lease that is not extended ends, and between two extensions.
HELD_S, EXTEND_S = 60.0, 20.0

log = logging.getLogger(__name__)


@contextmanager
def holding(name: str, *, rest_s: float = 0) -> Iterator[None]:
    """Hold a lease.

    Args:
        rest_s: Seconds from now for which nobody gets it again, if the block succeeds.

    Raises:
        Conflict: somebody holds it, or it rests.
    """
    holder, rest_until = f"{worker_name()} {threading.get_ident()}", _in(rest_s)
    if not _take(name, holder):
        raise Conflict(_("Another process of the hub is doing this. Try again soon."))
    stop = threading.Event()
    thread = threading.Thread(target=_extend, args=(name, holder, stop), daemon=True)
    thread.start()
    mine = Lease.objects.filter(name=name, holder=holder)
    try:
        yield
    except BaseException:
        _end(thread, stop)
        mine.delete()
        raise
    _end(thread, stop)
    if rest_s:
        mine.update(until=rest_until)
    else:
        mine.delete()


def is_held(name: str) -> bool:
    """Whether somebody holds a lease."""
    return Lease.objects.filter(name=name, until__gte=timezone.now()).exists()


def _take(name: str, holder: str) -> bool:
    if is_held(name):  # without a write, for which SQLite has one lock
        return False
    ended = Lease.objects.filter(name=name, until__lt=timezone.now())
    if ended.update(holder=holder, until=_in(HELD_S)):
        return True
    try:
        with transaction.atomic():
            Lease.objects.create(name=name, holder=holder, until=_in(HELD_S))
    except IntegrityError:  # somebody else was faster
        return False
    return True


def _extend(name: str, holder: str, stop: threading.Event) -> None:
    try:
        while not stop.wait(EXTEND_S):
            try:
                Lease.objects.filter(name=name, holder=holder).update(until=_in(HELD_S))
            except DatabaseError as error:  # the next attempt may be in time
                log.warning("lease %s was not extended: %s", name, error)
    finally:
        connection.close()


def _end(thread: threading.Thread, stop: threading.Event) -> None:
    stop.set()
    thread.join()


def _in(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)
