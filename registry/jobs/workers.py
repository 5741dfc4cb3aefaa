"""Worker processes: what they tell of themselves, and what their operator wants of them.

A worker has a row while it lives. Nobody else's word is needed that it is there: it renews
``seen_at`` every few seconds, and what was not seen for long is removed by whoever sweeps.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from registry.accounts import permissions
from registry.errors import NotFound
from registry.jobs import queue
from registry.models import Worker, WorkerWish

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.models import User

__all__ = [
    "FORGET",
    "announce",
    "ask",
    "beat",
    "count_job",
    "drop_gone",
    "leave",
    "set_wish",
    "tell",
    "wish",
]

#: Rows of workers that nobody saw for this long are removed.
FORGET = timedelta(minutes=10)


def _mine() -> QuerySet[Worker]:
    return Worker.objects.filter(name=queue.worker_name())


def announce(*, queues: Iterable[str], facts: dict[str, Any]) -> None:
    """Write this process's row, also over that of a dead namesake: it starts with work."""
    now = timezone.now()
    said = {"queues": list(queues), "facts": facts, "wish": WorkerWish.WORK, "jobs_done": 0}
    Worker.objects.update_or_create(
        name=queue.worker_name(), defaults={**said, "started_at": now, "seen_at": now}
    )


def beat() -> bool:
    """Say that this process lives; False when its row is gone and it must announce itself."""
    return bool(_mine().update(seen_at=timezone.now()))


def tell(facts: dict[str, Any]) -> None:
    """Change what this process says of itself."""
    _mine().update(facts=facts)


def count_job() -> None:
    """Count a job that this process ended."""
    _mine().update(jobs_done=F("jobs_done") + 1)


def wish() -> str:
    """Return what is wanted of this process; one without a row works."""
    return str(_mine().values_list("wish", flat=True).first() or WorkerWish.WORK)


def leave() -> None:
    """Remove this process's row."""
    _mine().delete()


def drop_gone() -> int:
    """Remove rows of workers that died on this host, or that nobody saw for long."""
    dead = [name for name in Worker.objects.values_list("name", flat=True) if queue.is_dead(name)]
    long_ago = timezone.now() - FORGET
    return Worker.objects.filter(Q(name__in=dead) | Q(seen_at__lt=long_ago)).delete()[0]


def ask(*, actor: User | AnonymousUser | None, worker_id: int, wish: str) -> Worker:
    """Want something of a worker.

    Raises:
        NotFound: there is none of this number, or the actor is no operator.
        ScopeMissing: see ``permissions.require_operator``.
    """
    permissions.require_operator(actor)
    worker = Worker.objects.filter(pk=worker_id).first()
    if worker is None:
        raise NotFound(_("There is no such worker. It may have ended."))
    set_wish([worker], wish)
    worker.refresh_from_db()
    return worker


def set_wish(workers: Iterable[Worker], wish: str) -> None:
    """Want something of workers; those that shall work again are woken at once."""
    rows = list(workers)
    Worker.objects.filter(pk__in=[one.pk for one in rows]).update(wish=wish)
    if wish == WorkerWish.WORK:
        for name in sorted({name for one in rows for name in one.queues}):
            queue.wake(name)
