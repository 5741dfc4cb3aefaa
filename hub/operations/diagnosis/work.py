"""Jobs, workers and base models."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from django.conf import settings
from django.db.models import Count, Min, Q
from django.utils import timezone

from hub.operations.diagnosis.report import Report
from hub.operations.worker_status import unserved_families
from hub.plurals import counted
from previews import worker_bases
from previews.render import BasesInvalid, load_bases
from registry.jobs import selectors as job_selectors
from registry.models import Job, JobState
from registry.uploads.services import CHECKS_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

#: A job that waits longer than this has no worker, or there are too few workers.
LONG_WAIT = timedelta(minutes=2)
START_CHECKS = (
    "Start the hub with `manage.py up` (with the units: `systemctl restart lorary-checks`), or "
    "`manage.py worker --queues checks` alone; it takes a few seconds."
)


def _late_jobs() -> QuerySet[Job]:
    """Return the jobs that could have run for longer than ``LONG_WAIT``."""
    now = timezone.now()
    ready = Q(run_after=None) | Q(run_after__lt=now - LONG_WAIT)
    return Job.objects.filter(ready, state=JobState.QUEUED, created_at__lt=now - LONG_WAIT)


def _jobs() -> Iterator[Report]:
    now, is_well, living = timezone.now(), True, job_selectors.alive()
    for row in _late_jobs().values("queue").annotate(count=Count("id"), oldest=Min("created_at")):
        is_well = False
        waited = int((now - row["oldest"]).total_seconds() // 60)
        jobs, queue = counted(row["count"], "job"), row["queue"]
        message = f"{jobs} waiting in {queue!r}, the oldest for {counted(waited, 'minute')}."
        start = f"`manage.py worker --queues {queue}`"
        busy = ", ".join(worker.name for worker in job_selectors.serving(queue, living))
        hint = (
            f"{busy} is working on them; start another one: {start}."
            if busy
            else f"Start a worker: {start}."
        )
        if not busy and queue.startswith("render") and worker_bases.is_file_empty():
            hint = "Previews are turned off: cancel the jobs at /operator, or start a worker."
        yield Report("jobs", "warning", message, hint)
    dead = Job.objects.filter(state=JobState.RUNNING, lease_until__lt=now).count()
    if dead:
        is_well = False
        message = f"{counted(dead, 'job')} left by a worker that died."
        yield Report("jobs", "warning", message, "Any worker of their queue will take them over.")
    for report in _unknown_tasks():
        is_well = False
        yield report
    if is_well:
        yield Report("jobs", "ok", "No job waits for a worker.")


def _unknown_tasks() -> Iterator[Report]:
    """Report tasks unknown to all workers for longer than an update takes."""
    rows = job_selectors.of_unknown_task().order_by().values("task")
    for row in rows.annotate(count=Count("id"), oldest=Min("started_at")):
        jobs, since = counted(row["count"], "job"), f"{row['oldest']:%Y-%m-%d %H:%M} UTC"
        message = f"{jobs} of the task {row['task']!r}, which no worker knows, since {since}."
        hint = "Start workers of the release that has it, or cancel the jobs at /operator."
        yield Report("jobs", "warning", message, hint)


def _workers() -> Iterator[Report]:
    """Report workers, whether one checks uploads, and families that no worker renders for."""
    living = job_selectors.alive()
    names = ", ".join(worker.name for worker in living) or "none"
    message = f"Workers seen recently: {names}."
    if job_selectors.serving(CHECKS_QUEUE, living):
        yield Report("workers", "ok", message)
    else:
        # Without jobs that wait for long it may be a hub that is just being started.
        waiting = _late_jobs().filter(queue=CHECKS_QUEUE).count()
        jobs = f"; {counted(waiting, 'job')} waiting" if waiting else ""
        state: Literal["error", "warning"] = "error" if waiting else "warning"
        yield Report("workers", state, f"{message} None checks uploads{jobs}.", START_CHECKS)
    unserved = unserved_families(living)
    if unserved and worker_bases.are_previews_off():
        count = sum(one.count for one in unserved)
        message = f"Previews are turned off; {counted(count, 'render')} waiting from before."
        hint = f"To turn them on, add base models to {settings.LORARY.bases} and start a worker."
        yield Report("workers", "ok", message, hint)
        return
    for one in unserved:
        message = f"Renders that wait for a worker for {one.title} ({one.family}): {one.count}."
        start = "Start one: `manage.py worker --queues render`."
        base = (
            "Add a base model of this family to a bases file (docs/previews.md) and start a worker."
        )
        yield Report("workers", "warning", message, start if one.has_base else base)


def _bases() -> Iterator[Report]:
    path = settings.LORARY.bases
    if not path.exists():
        return  # reported by the settings probe
    try:
        bases = load_bases(path)
    except BasesInvalid as error:
        yield Report(
            "bases", "error", str(error), "Correct the file; `manage.py bases` shows details."
        )
        return
    families = ", ".join(bases.families) or "none"
    yield Report("bases", "ok", f"{path} serves these families: {families}.")


PROBES = {
    "jobs": _jobs,
    "workers": _workers,
    "bases": _bases,
}
