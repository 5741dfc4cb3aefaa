"""Worker processes: their heartbeats, and the state that the operator requests.

A worker has a row while it lives and updates ``seen_at`` every few seconds. Other workers delete
the rows of workers that are gone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

import lorary
from registry import events
from registry.accounts import permissions
from registry.errors import NotFound
from registry.jobs import queue
from registry.jobs.identity import is_dead, worker_name
from registry.models import Lease, Worker, WorkerWish

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.models import User

#: Time after the last heartbeat after which the row of a worker is deleted.
FORGET = timedelta(minutes=10)


def _mine() -> QuerySet[Worker]:
    return Worker.objects.filter(name=worker_name())


def register(*, queues: Iterable[str], facts: dict[str, Any]) -> None:
    """Write this process's row, or renew it."""
    now = timezone.now()
    values = {
        "queues": list(queues),
        "facts": _with_release(facts),
        "wish": WorkerWish.WORK,
        "jobs_done": 0,
    }
    Worker.objects.update_or_create(
        name=worker_name(), defaults={**values, "started_at": now, "seen_at": now}
    )


def _with_release(facts: dict[str, Any]) -> dict[str, Any]:
    """Add the release, by which ``manage.py upgrade --check`` finds workers of another one."""
    return {**facts, "release": lorary.__version__}


def beat() -> bool:
    """Record a heartbeat; return False if the row is gone and the worker must register again."""
    return bool(_mine().update(seen_at=timezone.now()))


def update_facts(facts: dict[str, Any]) -> None:
    """Update what this process reports about itself."""
    _mine().update(facts=_with_release(facts))


def count_job() -> bool:
    """Count a job that this process finished; return whether the operator lets it take another."""
    more = {"jobs_done": F("jobs_done") + 1}
    if _mine().filter(wish=WorkerWish.WORK).update(**more):  # in one statement, after each job
        return True
    _mine().update(**more)
    return may_work()


def may_work() -> bool:
    """Whether the operator lets this process take jobs, as of one without a row."""
    return requested_state() == WorkerWish.WORK


def requested_state() -> str:
    """Return the state that the operator requests of this process; the default if it has no row."""
    return str(_mine().values_list("wish", flat=True).first() or WorkerWish.WORK)


def leave() -> None:
    """Delete this process's row."""
    _mine().delete()


def drop_gone() -> int:
    """Delete rows of workers that died on this host, or that have sent no heartbeat for long."""
    dead = [name for name in Worker.objects.values_list("name", flat=True) if is_dead(name)]
    long_ago = timezone.now() - FORGET
    return Worker.objects.filter(Q(name__in=dead) | Q(seen_at__lt=long_ago)).delete()[0]


def forget_all() -> None:
    """Delete what the rows say about running processes: none of them runs on a restored hub."""
    with transaction.atomic():
        Worker.objects.all().delete()
        Lease.objects.all().delete()
        queue.release_all()


def request_state(*, actor: User | AnonymousUser | None, worker_id: int, wish: str) -> Worker:
    """Request a state of a worker.

    Raises:
        NotFound: there is no such worker, or the actor is not an operator.
        ScopeMissing: see ``permissions.require_operator``.
    """
    user = permissions.require_operator(actor)
    worker = Worker.objects.filter(pk=worker_id).first()
    if worker is None:
        raise NotFound(_("There is no such worker. It may have ended."))
    set_wish([worker], wish, actor=user)
    worker.refresh_from_db()
    return worker


def set_wish(workers: Iterable[Worker], wish: str, *, actor: User | None = None) -> None:
    """Request a state of workers; workers that resume are woken immediately.

    Args:
        actor: Who did it; None on the command line.
    """
    rows = list(workers)
    with transaction.atomic():
        Worker.objects.filter(pk__in=[one.pk for one in rows]).update(wish=wish)
        for one in rows:
            events.record(actor=actor, verb="worker_state_requested", subject=one.name, wish=wish)
    if wish == WorkerWish.WORK:
        for name in sorted({name for one in rows for name in one.queues}):
            queue.wake(name)
