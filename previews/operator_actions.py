"""Actions of operators on jobs: cancel one, or retry a failed one."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from previews.models import Render, RenderKind, RenderState, Report, ReportState, Sample
from previews.renders import services as renders
from previews.reports import services as reports
from previews.samples import services as samples
from registry import events
from registry.accounts import permissions
from registry.errors import NotFound, StateConflict
from registry.jobs import queue
from registry.models import OPEN_JOB_STATES, Job, JobState, User


def cancel(*, actor: User | AnonymousUser | None, job_id: int) -> None:
    """Cancel a job; a running one stops before its next step.

    Raises:
        NotFound: no such job, or the actor is not an operator.
        ScopeMissing: see ``permissions.require_operator``.
    """
    user = permissions.require_operator(actor)
    job = _job(job_id)
    with transaction.atomic():
        _cancel(job)
        events.record(actor=user, verb="job_cancelled", subject=job.key, task=job.task)


def cancel_all_of(owner: str) -> int:
    """Cancel the open jobs of an owner, such as a disabled account; return their number."""
    jobs = list(Job.objects.filter(owner=owner, state__in=OPEN_JOB_STATES))
    for job in jobs:
        _cancel(job)
    return len(jobs)


def _cancel(job: Job) -> None:
    """Cancel a job and what it makes. The reason is public, so it names no account."""
    reason = _("Cancelled by an administrator.")
    render = Render.objects.filter(job=job).first()
    if render is not None:
        renders.cancel(render=render, reason=reason)
        return
    report = Report.objects.filter(job=job).first()
    if report is not None:
        reports.cancel(report=report, reason=reason)
        return
    queue.cancel(job.key)
    for sample in Sample.objects.filter(job=job):
        samples.refuse(sample=sample, reason=reason)


def retry(*, actor: User | AnonymousUser | None, job_id: int) -> None:
    """Retry a failed render or look report; pictures by the same recipe are kept.

    Raises:
        NotFound: no such job, or the actor is not an operator.
        StateConflict: the job has not failed, or is neither a render nor a look report; or the
            cover sheet is being rendered again.
        ScopeMissing: see ``permissions.require_operator``.
    """
    user = permissions.require_operator(actor)
    job = _job(job_id)
    with transaction.atomic():
        _retry(job)
        events.record(actor=user, verb="job_retried", subject=job.key, task=job.task)


def _retry(job: Job) -> None:
    report = Report.objects.filter(job=job, state=ReportState.FAILED).first()
    if report is not None and job.state == JobState.FAILED:
        reports.retry(report=report)
        return
    render = Render.objects.filter(job=job, state=RenderState.FAILED).first()
    if job.state != JobState.FAILED or render is None:
        raise StateConflict(
            _("This job cannot be retried. The user who requested it can request it again."),
            state=job.state,
        )
    if render.kind == RenderKind.PREVIEW and render.version is not None:
        renders.begin(version=render.version, priority=queue.ASKED)
        return
    try:
        with transaction.atomic():
            mine = Render.objects.filter(pk=render.pk, state=RenderState.FAILED)
            if mine.update(state=RenderState.QUEUED, reason="", finished_at=None):
                renders.enqueue(render=render)
    except IntegrityError as error:  # its owner had the cover sheet rendered again
        raise StateConflict(
            _("This cover sheet is being rendered again."), state=job.state
        ) from error


def _job(job_id: int) -> Job:
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise NotFound(_("There is no such job."))
    return job
