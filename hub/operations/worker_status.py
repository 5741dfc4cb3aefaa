"""States of workers, jobs and queues, for the operator's pages, API and commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from lorary.anatomy import family_title
from previews import worker_bases
from previews.models import Layer, Render, RenderState, Report
from previews.render import BasesInvalid
from registry.jobs import selectors as job_selectors
from registry.jobs.selectors import WorkerView
from registry.models import Job, JobState, Worker


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job, with the adapter and version that it is for, if it is for one version.

    For a cover sheet, ``adapter`` is the pack with ``packs/`` before its name.
    """

    id: int
    task: str
    queue: str
    owner: str
    state: str
    reason: str
    done: int
    total: int
    adapter: str
    version: str
    started_at: datetime | None
    finished_at: datetime | None
    can_retry: bool


@dataclass(frozen=True, slots=True)
class BaseStatus:
    """A base model of a worker; ``seconds`` per picture is None until it has rendered one."""

    id: str
    family: str
    title: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker with its device, queues, base models and current job."""

    id: int
    name: str
    is_alive: bool
    wish: str
    device: str
    memory_gb: float | None
    queues: list[str]
    families: list[str]
    bases: list[BaseStatus]
    job: JobStatus | None
    jobs_done: int
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class UnservedFamily:
    """A family with waiting renders that no worker serves.

    ``has_base``: this machine or a live worker has a base model of it, so a worker is enough.
    """

    family: str
    title: str
    count: int
    has_base: bool


def worker_statuses() -> list[WorkerStatus]:
    """Return all known workers, by name."""
    return _statuses_of(job_selectors.with_jobs())


def worker_status(worker: Worker) -> WorkerStatus:
    """Return one worker."""
    return _statuses_of([job_selectors.view_of(worker)])[0]


def _statuses_of(views: Sequence[WorkerView]) -> list[WorkerStatus]:
    jobs = {job.id: job for job in job_statuses(view.job for view in views if view.job)}
    return [_worker_status(view, jobs.get(view.job.pk) if view.job else None) for view in views]


def _worker_status(view: WorkerView, job: JobStatus | None) -> WorkerStatus:
    row = view.worker
    facts: dict[str, Any] = row.facts
    return WorkerStatus(
        id=row.pk,
        name=row.name,
        is_alive=view.is_alive,
        wish=row.wish,
        device=facts.get("device", ""),
        memory_gb=facts.get("memory_gb"),
        queues=row.queues,
        families=facts.get("families", []),
        bases=[
            BaseStatus(base["id"], base["family"], base.get("title", ""), base.get("seconds"))
            for base in facts.get("bases", [])
        ],
        job=job,
        jobs_done=row.jobs_done,
        started_at=row.started_at,
        seen_at=row.seen_at,
    )


def job_statuses(jobs: Iterable[Job]) -> list[JobStatus]:
    """Return jobs with their adapters or packs and versions, in the same order."""
    rows = list(jobs)
    reports = Report.objects.filter(job__in=rows).select_related(
        "version__adapter__namespace", "render__pack_version__pack__namespace"
    )
    renders = Render.objects.filter(job__in=rows).select_related(
        "version__adapter__namespace", "pack_version__pack__namespace"
    )
    made: list[Report | Render] = [*reports, *renders]
    names = {row.job_id: _names_of(row) for row in made if row.job_id is not None}
    return [
        _job_status(row, *names.get(row.pk, ("", "")), can_retry=row.pk in names) for row in rows
    ]


def _names_of(made: Report | Render) -> tuple[str, str]:
    render = made if isinstance(made, Render) else made.render
    if render is not None and render.pack_version is not None:
        return f"packs/{render.pack_version.pack.full_name}", render.pack_version.name
    version = made.version
    return (version.adapter.full_name, version.name) if version is not None else ("", "")


def _job_status(job: Job, adapter: str, version: str, *, can_retry: bool) -> JobStatus:
    return JobStatus(
        id=job.pk,
        task=job.task,
        queue=job.queue,
        owner=job.owner,
        state=job.state,
        reason=job.reason,
        done=job.done,
        total=job.total,
        adapter=adapter,
        version=version,
        started_at=job.started_at,
        finished_at=job.finished_at,
        can_retry=can_retry,
    )


def unserved_families(living: Sequence[Worker]) -> list[UnservedFamily]:
    """Return the families with waiting renders that no worker serves, by name."""
    waiting = {
        family: count
        for family, count in sorted(_unfinished_renders().items())
        if not job_selectors.serving(worker_bases.queue_of(family), living)
    }
    known: set[str] = set()
    with suppress(BasesInvalid):  # reported by its own probe
        known = worker_bases.families() if waiting else known
    return [
        UnservedFamily(family, family_title(family), count, has_base=family in known)
        for family, count in waiting.items()
    ]


def _unfinished_renders() -> Counter[str]:
    """Count waiting renders by family: queued ones, and those without a base for a recipe."""
    counts: Counter[str] = Counter()
    jobs = Job.objects.filter(state=JobState.QUEUED, queue__startswith=f"{worker_bases.KIND}.")
    for queue, count in jobs.values_list("queue").annotate(n=Count("pk")):
        counts[queue.partition(".")[2]] += count
    of_stack = Layer.objects.filter(render=OuterRef("pk"), position=0).values("version__family")
    of_render = Coalesce("version__family", Subquery(of_stack[:1]), Value(""))
    waiting = Render.objects.filter(state=RenderState.WAITING).annotate(made_for=of_render)
    for family, count in (
        waiting.exclude(made_for="").values_list("made_for").annotate(n=Count("pk"))
    ):
        counts[family] += count
    return counts


def queue_title(name: str) -> str:
    """Return the title of a queue."""
    kind, _dot, family = name.partition(".")
    if kind == "render":
        return _("Pictures: %(family)s") % {
            "family": family_title(family) if family else _("queued by an older release")
        }
    return _("Checks of uploads") if kind == "checks" else name
