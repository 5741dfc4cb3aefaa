"""The operator's first page: workers, queues and failures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from hub.operations.worker_status import (
    WorkerStatus,
    job_statuses,
    queue_title,
    unserved_families,
    worker_statuses,
)
from lorary.anatomy import family_title
from previews import operator_actions
from registry.accounts import permissions
from registry.errors import Invalid
from registry.jobs import queue, workers
from registry.jobs import selectors as job_selectors
from registry.models import Worker, WorkerWish

#: Number of days for which failures are shown.
DAYS = 7
#: Number of jobs of unknown tasks that are shown.
MOST = 50
PRIORITIES = (queue.INTERACTIVE, queue.ASKED, queue.BATCH, queue.RENEWAL)


@dataclass(frozen=True, slots=True)
class WorkerCard:
    """A worker on the page; ``actions`` are its buttons, as value and label."""

    worker: WorkerStatus
    state: str
    families: list[str]
    speeds: list[tuple[str, str]]
    actions: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue on the page; ``waiting`` has one number for each of ``PRIORITIES``."""

    title: str
    name: str
    running: int
    waiting: list[int]
    oldest: datetime | None
    is_served: bool


@never_cache
@require_http_methods(["GET", "HEAD"])
def index(request: HttpRequest) -> HttpResponse:
    """Show the page."""
    permissions.require_operator(request.user)
    return render(request, "operator/page.html", _context())


@never_cache
@require_http_methods(["GET", "HEAD"])
def panel(request: HttpRequest) -> HttpResponse:
    """Send the part of the page that refreshes itself."""
    permissions.require_operator(request.user)
    return render(request, "operator/panel.html", _context())


@require_POST
def worker(request: HttpRequest, worker_id: int) -> HttpResponse:
    """Pause, resume or drain a worker."""
    permissions.require_operator(request.user)
    wish = request.POST.get("wish", "")
    if wish not in WorkerWish.values:
        raise Invalid(_("A worker can be paused, resumed or ended."))
    row = workers.request_state(actor=request.user, worker_id=worker_id, wish=wish)
    sentences = {
        WorkerWish.PAUSE: _("“%(name)s” takes no new jobs until it is resumed."),
        WorkerWish.DRAIN: _("“%(name)s” stops after its job. Start it again manually."),
        WorkerWish.WORK: _("“%(name)s” is running again."),
    }
    messages.success(request, sentences[WorkerWish(wish)] % {"name": row.name})
    return redirect("operator")


@require_POST
def job(request: HttpRequest, job_id: int) -> HttpResponse:
    """Cancel a job, or retry a failed one."""
    if request.POST.get("action") == "retry":
        operator_actions.retry(actor=request.user, job_id=job_id)
        messages.success(request, _("The job is in the queue again."))
    else:
        operator_actions.cancel(actor=request.user, job_id=job_id)
        messages.success(
            request, _("The job is cancelled. A running job stops before its next step.")
        )
    return redirect("operator")


def _context() -> dict[str, Any]:
    living = job_selectors.alive()
    return {
        "workers": [_card(one) for one in worker_statuses()],
        "is_anybody_here": bool(living),
        "alive_s": job_selectors.ALIVE_S,
        "unserved": unserved_families(living),
        "queues": _lines(living),
        "unknown": job_statuses(job_selectors.of_unknown_task()[:MOST]),
        "failures": job_statuses(job_selectors.failures(days=DAYS)),
        "days": DAYS,
    }


def _card(status: WorkerStatus) -> WorkerCard:
    return WorkerCard(
        worker=status,
        state=_state(status),
        families=[family_title(family) for family in status.families],
        speeds=[
            (base.title or base.id, f"{base.seconds:.2g}") for base in status.bases if base.seconds
        ],
        actions=_actions(status),
    )


def _state(status: WorkerStatus) -> str:
    if not status.is_alive:
        return _("gone")
    if status.wish == WorkerWish.DRAIN:
        return _("ends after this job") if status.job else _("ends")
    if status.wish == WorkerWish.PAUSE:
        return _("pauses after this job") if status.job else _("paused")
    return _("at work") if status.job else _("idle")


def _actions(status: WorkerStatus) -> list[tuple[str, str]]:
    words = {
        WorkerWish.WORK: _("Resume"),
        WorkerWish.PAUSE: _("Pause"),
        WorkerWish.DRAIN: _("End after this job") if status.job else _("End"),
    }
    return [(wish, word) for wish, word in words.items() if status.is_alive and wish != status.wish]


def _lines(living: list[Worker]) -> list[QueueRow]:
    found = []
    for length in job_selectors.queue_lengths():
        waiting = [length.waiting.get(priority, 0) for priority in PRIORITIES]
        waiting[0] += length.waiting.get(queue.VISITOR, 0)
        waiting[-1] += length.waiting.get(queue.BACKGROUND, 0)
        waiting[PRIORITIES.index(queue.BATCH)] += length.total - sum(waiting)  # other numbers
        is_served = bool(job_selectors.serving(length.name, living))
        title = queue_title(length.name)
        found.append(
            QueueRow(
                title, length.name, length.running, waiting, length.oldest, is_served=is_served
            )
        )
    return found
